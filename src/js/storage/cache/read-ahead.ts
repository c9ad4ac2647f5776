import { integer, optionsIn } from '../../base/arguments.js'
import {
  type AsyncStorage,
  checkedStorage,
  isSync,
  type Storage,
  type SyncStorage,
} from '../../base/storage/contract.js'
import { made } from '../recipe.js'
import { AsyncReadAhead } from './async-read-ahead.js'
import type { ReadAheadLimits, ReadAheadOptions } from './limits.js'
import { SyncReadAhead } from './sync-read-ahead.js'

const KiB = 1024
const MiB = 1024 * KiB

/**
 * A storage that makes few, large requests out of many small ones: for storages where each request costs much, whatever
 * its size, such as a `Blob` or a server.
 *
 * A sequential reader finds its bytes fetched ahead, in windows that grow while it goes on; random requests fetch
 * little more than they ask for. What was fetched is kept within a budget; requests for bytes that are on their way
 * wait for these; requests that are no longer needed are aborted.
 *
 * @param storage what is read; it must not change meanwhile, so the result can't be written. Opened and closed with it.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `storage` is none, or an option is not a number of bytes.
 *
 * @example
 * ```ts
 * const image = await Qcow2.open(readAhead(blob(file, { readAhead: false }), { budget: 16 * 1024 ** 2 }))
 * ```
 */
export function readAhead(storage: SyncStorage, options?: ReadAheadOptions): SyncStorage
export function readAhead(storage: AsyncStorage, options?: ReadAheadOptions): AsyncStorage
export function readAhead(storage: Storage, options?: ReadAheadOptions): Storage
export function readAhead(storage: Storage, given: ReadAheadOptions = {}): Storage {
  const options = optionsIn(given)
  checkedStorage(storage, 'What is read ahead')
  const budget = integer(options.budget ?? 16 * MiB, 'budget')
  const limits: ReadAheadLimits = {
    budget,
    window: Math.min(integer(options.window ?? 4 * MiB, 'window'), Math.floor(budget / 4)),
    block: integer(options.block ?? 4 * KiB, 'block', 1),
    gap: integer(options.gap ?? 64 * KiB, 'gap'),
  }
  const ahead = isSync(storage) ? new SyncReadAhead(storage, limits) : new AsyncReadAhead(storage, limits)
  return made(ahead, { maker: 'readAhead', args: () => [storage, limits] })
}

/** The storage under the read-ahead, where there is one: opened and closed with that. */
export function withoutReadAhead(storage: Storage): Storage {
  return storage instanceof AsyncReadAhead || storage instanceof SyncReadAhead ? storage.source : storage
}
