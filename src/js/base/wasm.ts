import { nodeModule } from './node.js'

/** Where the WebAssembly module comes from: its address, an answer to a request for it, its bytes, or it itself. */
export type ModuleSource = URL | Request | string | Response | ArrayBuffer | ArrayBufferView | WebAssembly.Module

/** A module, a promise of it, or a function that is called when the module is needed. */
export type LazyModuleSource = ModuleSource | Promise<ModuleSource> | (() => ModuleSource | Promise<ModuleSource>)

/** Compiles a module, from wherever it comes. */
export async function compileModule(source: ModuleSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source
  const isAddress = typeof source === 'string' || source instanceof URL
  if (isAddress && String(source).startsWith('file:')) return WebAssembly.compile(await readFile(source))
  const found = isAddress || source instanceof Request ? await fetch(source) : source
  if (!(found instanceof Response)) return WebAssembly.compile(found as BufferSource)
  if (!found.ok) throw new Error(`the server answers ${found.status} ${found.statusText} for ${found.url}`)
  const type = found.headers.get('content-type') ?? ''
  // What servers of applications with one page answer for whatever is not there.
  if (type.startsWith('text/html')) throw new Error(`the server answers with a page of HTML for ${found.url}`)
  // Browsers compile a stream only if the server sends its media type.
  if (type === 'application/wasm') return WebAssembly.compileStreaming(found)
  return WebAssembly.compile(await found.arrayBuffer())
}

/** Reads a file by its address: in Node, on a page that is a file itself, or in another runtime whose `fetch` does. */
async function readFile(address: URL | string): Promise<BufferSource> {
  const fs = nodeModule<{ readFile(path: URL): Promise<BufferSource> }>('node:fs/promises')
  if (fs) return fs.readFile(new URL(address))
  try {
    return await (await fetch(address)).arrayBuffer()
  } catch (error) {
    // Browsers that let pages read files let only this do so.
    if (typeof XMLHttpRequest !== 'function') throw error
    return requested(address)
  }
}

function requested(address: URL | string): Promise<ArrayBuffer> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('GET', address)
    request.responseType = 'arraybuffer'
    request.onload = () => resolve(request.response)
    request.onerror = () => reject(new Error(`the browser does not let this page read ${address}`))
    request.send()
  })
}
