import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { EngineModule } from '../../../src/js/engine/module.js'
import { editor } from '../../../src/js/engine/modules.js'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

/** Objects that nothing should hold when their test is over. */
export class Tracked<O extends object = object> {
  readonly #objects: WeakRef<O>[] = []

  /** Notes an object; returns it. */
  note<T extends O>(object: T): T {
    this.#objects.push(new WeakRef(object))
    return object
  }

  /** How many were noted. */
  get count(): number {
    return this.#objects.length
  }

  /** How many of them are alive although everything was collected that can be. */
  async alive(): Promise<number> {
    let alive = this.count
    // What a collection frees may call finalizers, which let go of more.
    for (let round = 0; round < 20 && alive > 0; round += 1) {
      await new Promise((resolve) => setImmediate(resolve))
      collect()
      alive = this.#objects.filter((each) => each.deref()).length
    }
    return alive
  }

  /** Those that have not been collected. */
  survivors(): O[] {
    return this.#objects.flatMap((each) => each.deref() ?? [])
  }
}

/** The memory of the engine, by default of the whole one. */
export async function memoryOfEngine(module: EngineModule = editor): Promise<WebAssembly.Memory> {
  // It is instantiated already: what it would come from does not matter.
  return (await (await module.instance()).instantiate({ module_or_path: new Uint8Array() })).memory
}

/** The length of the engine's memory, in bytes. */
export async function engineMemory(module: EngineModule = editor): Promise<number> {
  return (await memoryOfEngine(module)).buffer.byteLength
}
