import { configured } from '../base/configuration.js'
import { missingFileAdvice, packageFile } from '../base/package-file.js'
import { compileModule } from '../base/wasm.js'
import { FilesError } from './errors.js'

/**
 * A module that few need: it is compiled when it is needed first. After a failure the next call tries again.
 *
 * @param address where it is, for bundlers.
 * @param what what it does, for people.
 */
export function extraModule(name: 'fat' | 'luks', address: () => URL, what: string): () => Promise<WebAssembly.Module> {
  const path = `dist/files/${name}/generated/qcow2_web_${name}_bg.wasm`
  let compiling: Promise<WebAssembly.Module> | undefined
  const source = async () => {
    const from = configured.files[name] ?? packageFile(address(), path)
    return compileModule(await (typeof from === 'function' ? from() : from))
  }
  return () => {
    compiling ??= source().catch((cause) => {
      compiling = undefined
      const reason = cause instanceof Error ? cause.message : String(cause)
      const advice = configured.files[name] === undefined ? ` ${missingFileAdvice(name, path, address())}` : ''
      throw new FilesError('LOAD_FAILED', `The module for ${what} could not be loaded: ${reason}.${advice}`, { cause })
    })
    return compiling
  }
}
