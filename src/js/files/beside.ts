/**
 * What the package brings beside its JavaScript for file systems. The calls are literally so, for bundlers look for these
 * words; the build keeps the path of this file, to which the addresses are relative.
 */

/** The address of the module. */
export function filesModule(): URL {
  return new URL('../files/generated/qcow2_web_files_bg.wasm', import.meta.url)
}

/** The address of the module for changes of FAT volumes. */
export function fatModule(): URL {
  return new URL('../files/fat/generated/qcow2_web_fat_bg.wasm', import.meta.url)
}

/** The address of the module for LUKS. */
export function luksModule(): URL {
  return new URL('../files/luks/generated/qcow2_web_luks_bg.wasm', import.meta.url)
}

/** Starts a worker of a browser. */
export function filesWorker(): Worker {
  return new Worker(new URL('../files/worker.js', import.meta.url), { type: 'module' })
}

/** The address of the worker's script, for Node. */
export function filesScript(): URL {
  return new URL('../files/worker.js', import.meta.url)
}
