import { fatModule } from '../beside.js'
import { extraModule } from '../extra-module.js'
import { initSync, WasmFat } from './generated/qcow2_web_fat.js'

export { WasmFat }

/** The compiled module for changes of FAT volumes. */
export const compiledFat = /* @__PURE__ */ extraModule('fat', fatModule, 'changes of FAT volumes')

/** Makes the one instance of this thread. */
export function instantiateFat(module: WebAssembly.Module): void {
  initSync({ module })
}
