import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'
import { offline } from './offline.ts'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/**
 * The built page may load from its own origin only, so that nothing of an image can leave it. Not in development, where
 * Vite injects styles and a socket of its own.
 */
function contentSecurityPolicy(): Plugin {
  const policy = (workers: string) =>
    [
      "default-src 'none'",
      "script-src 'self' 'wasm-unsafe-eval'",
      "style-src 'self'",
      "img-src 'self' data:",
      "connect-src 'self'",
      `worker-src ${workers}`,
      "manifest-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
    ].join('; ')
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: (_, { path }) => [
      {
        tag: 'meta',
        // v86 has a clock in a worker that it makes from a blob.
        attrs: {
          'http-equiv': 'Content-Security-Policy',
          content: policy(path.includes('/emulator/') ? "'self' blob:" : "'self'"),
        },
        injectTo: 'head-prepend',
      },
    ],
  }
}

export default defineConfig({
  root: at('.'),
  base: './',
  plugins: [contentSecurityPolicy(), offline(at('public'))],
  resolve: {
    alias: [
      { find: /^qcow2-web$/, replacement: at('../dist/index.js') },
      { find: /^qcow2-web\/v86$/, replacement: at('../dist/hosts/v86.js') },
    ],
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    outDir: 'dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    rollupOptions: { input: [at('index.html'), at('emulator/index.html')] },
  },
  server: { fs: { allow: [at('..')] } },
})
