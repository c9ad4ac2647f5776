/** Where the WebAssembly module comes from: its address, an answer to a request for it, its bytes, or it itself. */
export type ModuleSource = URL | Request | string | Response | BufferSource | WebAssembly.Module

/** Compiles a module, from wherever it comes. */
export async function compileModule(source: ModuleSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source
  if (isFile(source)) return WebAssembly.compile(await readFile(source))
  const isAddress = typeof source === 'string' || source instanceof URL || source instanceof Request
  const found = isAddress ? await fetch(source) : source
  if (!(found instanceof Response)) return WebAssembly.compile(found)
  if (!found.ok) throw new Error(`the server answers ${found.status} ${found.statusText} for ${found.url}`)
  // Browsers take a stream only where the server says what it is.
  if (found.headers.get('content-type') === 'application/wasm') return WebAssembly.compileStreaming(found)
  return WebAssembly.compile(await found.arrayBuffer())
}

/** True for what Node's `fetch` can't get. */
function isFile(given: ModuleSource): given is URL | string {
  return (given instanceof URL || typeof given === 'string') && String(given).startsWith('file:')
}

async function readFile(url: URL | string): Promise<BufferSource> {
  // Not a literal, and marked for bundlers: code for browsers is built from this file too, and never comes here.
  const name = 'node:fs/promises'
  const fs: { readFile(path: URL): Promise<BufferSource> } = await import(
    /* webpackIgnore: true */ /* @vite-ignore */ name
  )
  return fs.readFile(new URL(url))
}
