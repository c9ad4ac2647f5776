import { storage as checkedStorage } from './checks.js'
import { Engine } from './engine.js'
import type { Storage } from './storage/types.js'
import { Storages } from './storages.js'
import { Tasks } from './tasks.js'
import { init, type WasmEngine } from './wasm.js'
import { type HostProgress, type LongOptions, watched } from './watch.js'

/** What an operation on a file calls: the engine, and the file as it knows it. */
type Start<T> = (engine: WasmEngine, file: HostFile, watch: HostProgress | undefined) => T | number
type HostFile = Awaited<ReturnType<Storages['open']>>

/** Runs an operation on a file that no image is opened for; the file is opened for it, and closed again. */
export async function onFile<T>(
  storage: Storage,
  use: 'read' | 'write',
  options: LongOptions,
  start: Start<T>,
): Promise<T> {
  const file = checkedStorage(storage, 'The file')
  const storages = new Storages()
  await init()
  const engine = new Engine(async () => undefined)
  try {
    const host = await storages.open(file, engine, use)
    const tasks = new Tasks(engine)
    return await watched(options, (watch) => tasks.run(() => start(engine.wasm, host, watch), options.signal))
  } finally {
    await storages.release()
  }
}
