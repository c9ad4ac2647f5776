import { unlessAborted } from '../abort.js'
import { codeOf, Qcow2Error, wordsOf } from '../errors.js'
import { isWritable, type Storage, type StorageOpenOptions } from './contract.js'

/**
 * Makes a storage ready. It may take as long as another tab, or a server, likes: if `signal` aborts before, the caller does not
 * wait, and the storage is closed as soon as it is ready.
 *
 * @param failed called when it is clear that it is not in use.
 */
export async function ready(
  storage: Storage,
  options: StorageOpenOptions,
  failed: () => void = () => {},
): Promise<void> {
  const { signal } = options
  if (signal?.aborted) {
    failed()
    throw signal.reason
  }
  const opening = (async () => storage.open?.(options))()
  try {
    await unlessAborted(opening, signal)
  } catch (cause) {
    if (!signal?.aborted) {
      failed()
      throw explain('opened', cause)
    }
    opening.then(() => storage.close?.()).then(failed, failed)
    throw signal.reason
  }
}

/** The length of a storage that is open. */
export function measure(storage: Storage): Promise<number> {
  return explaining('measured', () => sizeOf(storage))
}

/** Throws unless a storage can be written. */
export function checkWritable(storage: Storage): void {
  if (!isWritable(storage)) throw new Qcow2Error('READ_ONLY', 'The storage can only be read.')
}

/** What `act` with a storage comes to; what the storage throws is said in this package's words. */
export async function explaining<T>(what: string, act: () => T | Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    throw explain(what, cause)
  }
}

/** As `explaining`, where nothing has to be waited for. */
export function explainingSync<T>(what: string, act: () => T): T {
  try {
    return act()
  } catch (cause) {
    throw explain(what, cause)
  }
}

/** What a storage threw, for example when it was opened, as an error of this package. */
function explain(what: string, cause: unknown): unknown {
  const own = Qcow2Error.from(cause)
  if (own) return own
  return new Qcow2Error(codeOf(cause), `The storage can't be ${what}: ${wordsOf(cause)}.`, { cause })
}

/** The length of a storage now. */
export async function sizeOf(storage: Storage): Promise<number> {
  return checkedSize(await storage.size())
}

/** `size`, if it can be the length of a storage. */
export function checkedSize(size: number): number {
  if (Number.isSafeInteger(size) && size >= 0) return size
  throw new Qcow2Error('STORAGE_CONTRACT', `The storage's size must be an integer from 0; it is ${String(size)}.`)
}
