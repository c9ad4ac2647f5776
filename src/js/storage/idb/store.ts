import { Qcow2Error } from '../../base/errors.js'
import { type Change, chunkSize, type Store } from '../buffered.js'
import { quotaOr } from '../quota.js'
import { forgetName, noteName, prefix } from './names.js'
import { done, request } from './requests.js'

/** In the database: `chunks` by number, those of zeros left out; `file` with the `size`. */
export class IdbStore implements Store {
  readonly #factory: IDBFactory
  readonly #name: string
  #database: IDBDatabase | undefined

  constructor(factory: IDBFactory, name: string) {
    this.#factory = factory
    this.#name = name
  }

  async open(): Promise<number> {
    await noteName(this.#factory, this.#name)
    const opening = this.#factory.open(prefix + this.#name, 1)
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore('chunks')
      opening.result.createObjectStore('file')
    }
    this.#database = await request(opening)
    const size: number | undefined = await request(this.#transaction('readonly').objectStore('file').get('size'))
    return size ?? 0
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    const chunks = this.#transaction('readonly').objectStore('chunks')
    const first = Math.floor(offset / chunkSize)
    const last = Math.floor((offset + length - 1) / chunkSize)
    const found: Promise<Uint8Array | undefined>[] = []
    for (let number = first; number <= last; number += 1) found.push(request(chunks.get(number)))
    for (const [index, chunk] of (await Promise.all(found)).entries()) {
      const start = (first + index) * chunkSize
      const part = chunk?.subarray(Math.max(offset - start, 0), offset + length - start)
      if (part) bytes.set(part, Math.max(start - offset, 0))
    }
    return bytes
  }

  async commit({ keep, size, chunks: changed }: Change): Promise<void> {
    const transaction = this.#transaction('readwrite')
    const chunks = transaction.objectStore('chunks')
    const boundary = Math.ceil(keep / chunkSize)
    chunks.delete(IDBKeyRange.lowerBound(boundary))
    for (const [number, chunk] of changed) {
      if (chunk.some((byte) => byte !== 0)) chunks.put(chunk, number)
      else chunks.delete(number)
    }
    transaction.objectStore('file').put(size, 'size')
    try {
      await done(transaction)
    } catch (error) {
      throw quotaOr(error, keep)
    }
  }

  close(): void {
    this.#database?.close()
    this.#database = undefined
  }

  #transaction(mode: 'readonly' | 'readwrite'): IDBTransaction {
    if (!this.#database) throw new Error('The database is closed.')
    return this.#database.transaction(['chunks', 'file'], mode, { durability: 'strict' })
  }
}

/**
 * Deletes a file that the caller has a lock on. Where there are no locks, an open database shows that it is in use; the browser
 * then deletes it when that is closed, and cannot be stopped.
 */
export async function deleteFile(factory: IDBFactory, name: string): Promise<void> {
  const deleting = factory.deleteDatabase(prefix + name)
  await new Promise<void>((resolve, reject) => {
    if (!globalThis.navigator?.locks) deleting.onblocked = () => reject(inUse(name))
    request(deleting).then(() => resolve(), reject)
  })
  await forgetName(factory, name)
}

function inUse(name: string): Qcow2Error {
  return new Qcow2Error('IN_USE', `The file ${name} is in use. The browser deletes it when it is closed.`)
}
