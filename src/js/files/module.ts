import { configured } from '../base/configuration.js'
import { missingFileAdvice, packageFile } from '../base/package-file.js'
import { compileModule, type ModuleSource } from '../base/wasm.js'
import { filesModule } from './beside.js'
import { FilesError } from './errors.js'
import load, { WasmFiles, type WasmVolume } from './generated/qcow2_web_files.js'

export { WasmFiles, type WasmVolume }

/** Where the module is in the package. */
const path = 'dist/files/generated/qcow2_web_files_bg.wasm'

let compiling: Promise<WebAssembly.Module> | undefined

/** The compiled module for file systems. After a failure the next call tries again. */
export function compiledFiles(): Promise<WebAssembly.Module> {
  compiling ??= source()
    .then(compileModule)
    .catch((cause) => {
      compiling = undefined
      const reason = cause instanceof Error ? cause.message : String(cause)
      const advice = configured.files.wasm === undefined ? ` ${missingFileAdvice('wasm', path, filesModule())}` : ''
      const message = `The module for file systems could not be loaded: ${reason}.${advice}`
      throw new FilesError('LOAD_FAILED', message, { cause })
    })
  return compiling
}

async function source(): Promise<ModuleSource> {
  const { wasm = packageFile(filesModule(), path) } = configured.files
  return typeof wasm === 'function' ? wasm() : wasm
}

/** Makes the one instance of this thread. */
export async function instantiate(module: WebAssembly.Module): Promise<void> {
  await load({ module_or_path: module })
}
