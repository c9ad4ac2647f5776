import { storage as checkedStorage } from './checks.js'
import type { Storage } from './storage/types.js'
import { Storages } from './storages.js'
import { Tasks } from './tasks.js'
import type { Inspection } from './types.js'
import { init, inspect as inspectFile } from './wasm.js'

/**
 * Says as much as can be said of a file, also of one that can't be opened: what format it seems to have, its header and
 * its extensions, and what is wrong with it, where.
 *
 * @param storage the file; it is opened for this, and closed again.
 * @throws {@link Qcow2Error} `STORAGE` and others, if the file can't be read; or the signal's reason.
 */
export async function inspect(storage: Storage, options: { readonly signal?: AbortSignal } = {}): Promise<Inspection> {
  const file = checkedStorage(storage, 'The file')
  const storages = new Storages()
  await init()
  try {
    await storages.open(file)
    return await new Tasks().run<Inspection>(() => inspectFile(file), options.signal)
  } finally {
    await storages.release()
  }
}
