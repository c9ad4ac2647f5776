/**
 * The same as `qcow2-web`, with the WebAssembly module and the worker's script within the JavaScript: for where other files
 * are in the way. A third larger to load; otherwise nothing differs.
 *
 * @packageDocumentation
 */

import { configure } from './base/configuration.js'
import { workerOf } from './base/start-worker.js'
import { gzipped } from './generated/inline.js'
import { script } from './generated/inline-worker.js'

configure({ wasm: decompressed, worker: start })

/** Pages that are files start no module from a Blob; Deno starts nothing but modules. */
function start(): Worker {
  try {
    return workerOf(script, 'classic')
  } catch {
    return workerOf(script, 'module')
  }
}

async function decompressed(): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(gzipped), (letter) => letter.charCodeAt(0))
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))
  return new Response(stream).arrayBuffer()
}

export * from './index.js'
