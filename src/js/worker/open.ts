import { unlessAborted } from '../base/abort.js'
import type { LongOptions } from '../base/progress.js'
import type { Use } from '../base/storage/claims.js'
import type { Storage, WritableStorage } from '../base/storage/contract.js'
import { isStorage } from '../base/storage/contract.js'
import type { FileOperations } from '../engine/handle.js'
import { type CreateOptions, createdDataFile } from '../engine/options/create.js'
import type { DataFileRequest } from '../engine/options/data-file.js'
import type { OpenOptions } from '../engine/options/open.js'
import { load } from './load.js'
import { PageObjects } from './page-objects.js'
import { RemoteHandle } from './remote-handle.js'

/** Opens an image with an engine in a worker. What it is given is checked there. */
export function openInWorker(storage: Storage, options: OpenOptions, worker: true | Worker): Promise<RemoteHandle> {
  const use = options.writable ? 'write' : 'read'
  return keep('openImage', storage, options.dataFile, use, options, worker)
}

/** Creates an image with an engine in a worker. What it is given is checked there. */
export function createInWorker(
  storage: WritableStorage,
  options: CreateOptions,
  worker: true | Worker,
): Promise<RemoteHandle> {
  return keep('createImage', storage, createdDataFile(options)?.storage, 'write', options, worker)
}

/** Runs an operation in a worker on a file that no image is opened for. */
export async function runOnFileInWorker<M extends keyof FileOperations>(
  storage: Storage,
  use: Use,
  method: M,
  args: Parameters<FileOperations[M]>,
  { signal: given, onProgress }: LongOptions,
  worker: true | Worker,
): Promise<ReturnType<FileOperations[M]>> {
  const objects = new PageObjects(worker, given)
  const { signal } = objects.user
  try {
    if (isStorage(storage)) objects.claim(storage, use)
    const encoded = await objects.encode(storage, signal)
    await unlessAborted(load(objects.client, true), signal)
    const watch = { signal, onProgress, patient: true }
    const value = await objects.client.port.call('runOnFile', [encoded, use, method, args], watch)
    return value as ReturnType<FileOperations[M]>
  } finally {
    await objects.release()
  }
}

async function keep(
  method: 'openImage' | 'createImage',
  storage: Storage,
  data: unknown,
  use: Use,
  { signal: given, onProgress, ...options }: (OpenOptions | CreateOptions) & LongOptions,
  worker: true | Worker,
): Promise<RemoteHandle> {
  const objects = new PageObjects(worker, given)
  const { client } = objects
  const { signal } = objects.user
  const image = client.number()
  try {
    for (const each of [storage, data]) if (isStorage(each)) objects.claim(each, use)
    const answers = dataFileAnswers(options, (answer) => objects.claim(answer, use))
    // First of all: the browser may have to ask the user, which it does only shortly after a click.
    const [file, rest] = [
      await objects.encode(storage, signal),
      await objects.encode({ ...options, ...answers }, signal),
    ]
    await unlessAborted(load(client, use === 'write'), signal)
    try {
      const facts = await client.port.call(method, [image, file, rest], { signal, onProgress, patient: true })
      signal.throwIfAborted()
      return new RemoteHandle(objects, image, facts)
    } catch (error) {
      // It may have been opened just before the signal aborted.
      await client.port.call('closeImage', [image]).catch(() => {})
      throw error
    }
  } catch (error) {
    await objects.release()
    throw error
  }
}

/** The function that supplies the data file, if the options have one; its answer is claimed before it crosses. */
function dataFileAnswers(options: OpenOptions | CreateOptions, claim: (storage: Storage) => void) {
  const { dataFile } = options
  if (typeof dataFile !== 'function') return {}
  return {
    dataFile: async (request: DataFileRequest) => {
      const found = await dataFile(request)
      if (isStorage(found)) claim(found)
      return found
    },
  }
}
