import { unlessAborted } from '../abort.js'
import { isStorage } from '../checks.js'
import type { CreateOptions } from '../create.js'
import type { FileOperations } from '../handle.js'
import type { OpenOptions } from '../options.js'
import type { Use } from '../storage/claims.js'
import type { Storage, WritableStorage } from '../storage/types.js'
import type { LongOptions } from '../watch.js'
import { Loan } from './loan.js'
import { RemoteHandle } from './remote-handle.js'

/** Opens an image with an engine in a worker. What it is given is checked there. */
export function openThere(storage: Storage, options: OpenOptions, worker: true | Worker): Promise<RemoteHandle> {
  const use = options.writable ? 'write' : 'read'
  return keep('openImage', storage, options.dataFile, use, options, worker)
}

/** Creates an image with an engine in a worker. What it is given is checked there. */
export function createThere(
  storage: WritableStorage,
  options: CreateOptions,
  worker: true | Worker,
): Promise<RemoteHandle> {
  return keep('createImage', storage, options.dataFile?.storage, 'write', options, worker)
}

/** Runs an operation in a worker on a file that no image is opened for. */
export async function onFileThere<M extends keyof FileOperations>(
  storage: Storage,
  use: Use,
  method: M,
  args: Parameters<FileOperations[M]>,
  { signal, onProgress }: LongOptions,
  worker: true | Worker,
): Promise<ReturnType<FileOperations[M]>> {
  const loan = new Loan(worker)
  try {
    if (isStorage(storage)) loan.claim(storage, use)
    const packed = await loan.pack(storage, signal)
    await unlessAborted(loan.client.load(), signal)
    const watch = { signal, onProgress, patient: true }
    const value = await loan.client.port.call('runOnFile', [packed, use, method, args], watch)
    return value as ReturnType<FileOperations[M]>
  } finally {
    await loan.release()
  }
}

async function keep(
  method: 'openImage' | 'createImage',
  storage: Storage,
  data: Storage | undefined,
  use: Use,
  { signal, onProgress, ...options }: (OpenOptions | CreateOptions) & LongOptions,
  worker: true | Worker,
): Promise<RemoteHandle> {
  const loan = new Loan(worker)
  const { client } = loan
  const image = client.number()
  try {
    for (const each of [storage, data]) if (isStorage(each)) loan.claim(each, use)
    // First of all, for a user who is to be asked has just clicked.
    const [file, rest] = [await loan.pack(storage, signal), await loan.pack(options, signal)]
    await unlessAborted(client.load(), signal)
    try {
      const facts = await client.port.call(method, [image, file, rest], { signal, onProgress, patient: true })
      return new RemoteHandle(loan, image, facts)
    } catch (error) {
      // It may have been opened just before the signal aborted.
      await client.port.call('closeImage', [image]).catch(() => {})
      throw error
    }
  } catch (error) {
    await loan.release()
    throw error
  }
}
