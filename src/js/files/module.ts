import { compileModule, type ModuleSource } from '../base/wasm.js'
import { FilesError } from './errors.js'
import load, { WasmFiles, type WasmVolume } from './generated/qcow2_web_files.js'

export { WasmFiles, type WasmVolume }

let compiling: Promise<WebAssembly.Module> | undefined

/** The compiled module for file systems. After a failure the next call tries again. */
export function compiledFiles(source?: ModuleSource | Promise<ModuleSource>): Promise<WebAssembly.Module> {
  compiling ??= Promise.resolve(source ?? new URL('./generated/qcow2_web_files_bg.wasm', import.meta.url))
    .then(compileModule)
    .catch((cause) => {
      compiling = undefined
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new FilesError('LOAD_FAILED', `The module for file systems could not be loaded: ${reason}.`, { cause })
    })
  return compiling
}

/** Makes the one instance of this thread. */
export async function instantiate(module: WebAssembly.Module): Promise<void> {
  await load({ module_or_path: module })
}
