import { storage as checkedStorage } from './checks.js'
import { Engine } from './engine.js'
import { sentence } from './errors.js'
import type { Storage } from './storage/types.js'
import { Storages } from './storages.js'
import { Tasks } from './tasks.js'
import type { Inspection } from './types.js'
import { init } from './wasm.js'

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
  const engine = new Engine(async () => undefined)
  try {
    const host = await storages.open(file, engine)
    const found = await new Tasks(engine).run<Inspection>(() => engine.wasm.inspect(host), options.signal)
    const problems = found.problems.map((problem) => ({ ...problem, message: sentence(problem.message) }))
    return { ...found, problems }
  } finally {
    await storages.release()
  }
}
