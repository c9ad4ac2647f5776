/**
 * The Content-Security-Policy of everything that the page consists of. A policy in a document covers the document, and not its
 * workers: each worker has the policy that comes with its own script. So a host sends these as headers (docs/hosting.md).
 */

/** The policy of the file at a path of the built page. */
export function policyOf(path: string): string {
  if (/\/network-[^/]*\.js$/.test(path)) return policy({ connect: 'http: https:' })
  // v86 has a clock in a worker that it makes from a blob.
  if (/\/emulator\/(index\.html)?$/.test(path)) return policy({ worker: "'self' blob:" })
  return policy({})
}

/** By default all comes from the page's own origin, and goes nowhere else. */
function policy({ connect = "'self'", worker = "'self'" }): string {
  return [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self'",
    "img-src 'self' data:",
    `connect-src ${connect}`,
    `worker-src ${worker}`,
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
}
