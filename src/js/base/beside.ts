/**
 * What the package brings beside its JavaScript. The calls are literally so, for bundlers look for these words; the build
 * keeps this file where it is, because the addresses are relative to it.
 */

/** The address of the engine's module. */
export function engineModule(): URL {
  return new URL('../generated/qcow2_web_bg.wasm', import.meta.url)
}

/** Starts a worker with the engine's script. */
export function engineWorker(): Worker {
  return new Worker(new URL('../worker/worker.js', import.meta.url), { type: 'module' })
}
