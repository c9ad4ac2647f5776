import type { LongOptions } from '../base/progress.js'
import type { Use } from '../base/storage/claims.js'
import type { Storage } from '../base/storage/contract.js'
import { checkedStorage } from '../base/storage/contract.js'
import { Engine } from './engine.js'
import type { FileOperations } from './handle.js'
import { editing } from './modules.js'
import { Storages } from './storages.js'
import { Tasks } from './tasks.js'
import { type HostProgress, watched } from './watch.js'

/** As {@link runOnFile}, with an engine that runs here. */
export async function runOnFileHere<M extends keyof FileOperations>(
  storage: Storage,
  use: Use,
  method: M,
  args: Parameters<FileOperations[M]>,
  options: LongOptions,
): Promise<ReturnType<FileOperations[M]>> {
  const file = checkedStorage(storage, 'The file')
  const engine = new Engine(await editing(), async () => undefined)
  const storages = new Storages(engine, options.signal)
  const { signal } = storages.user
  try {
    const host = await storages.open(file, use)
    const tasks = new Tasks(engine)
    // A method without progress ignores its last parameter.
    const methods = engine.wasm as unknown as Record<M, (...all: unknown[]) => ReturnType<FileOperations[M]> | number>
    const start = (watch: HostProgress | undefined) => methods[method](host, ...args, watch)
    return await watched(options, (watch) => tasks.run(() => start(watch), signal))
  } finally {
    await storages.release()
  }
}
