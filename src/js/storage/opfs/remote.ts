import { unlessAborted } from '../../base/abort.js'
import { Client } from '../../worker/rpc/client.js'
import type { StorageOpenOptions, WritableAsyncStorage } from '../contract.js'
import type { Claiming } from '../lock.js'
import { Shared } from '../shared.js'
import type { OpfsFileOptions } from './file.js'
import type { OpfsPath } from './path.js'

interface Signal {
  readonly signal: AbortSignal
}

/** A file of the origin-private file system, by its access handle in the package's own worker. */
export class RemoteOpfsFile implements WritableAsyncStorage {
  static #opened = 0
  readonly #file: Shared<{ readonly client: Client; readonly number: number }>

  /** `lock` is held while it is open. */
  constructor(path: OpfsPath, options: OpfsFileOptions, lock: Claiming) {
    this.#file = new Shared(
      async (signal) => {
        const client = Client.acquire()
        RemoteOpfsFile.#opened += 1
        const number = RemoteOpfsFile.#opened
        try {
          await unlessAborted(client.begun, signal)
          await client.port.call('open', [number, path, options])
          return { client, number }
        } catch (error) {
          client.release()
          throw error
        }
      },
      async ({ client, number }) => {
        try {
          // With a worker that is gone its access handles are, too.
          if (!client.port.ended) await client.port.call('close', [number])
        } finally {
          client.release()
        }
      },
      lock,
    )
  }

  open(options?: StorageOpenOptions): Promise<void> {
    return this.#file.open(options)
  }

  async size(): Promise<number> {
    const { client, number } = this.#file.current
    return client.port.call('size', [number])
  }

  async read(offset: number, length: number, options: Signal): Promise<Uint8Array> {
    const { client, number } = this.#file.current
    return client.port.call('read', [number, offset, length], { signal: options.signal })
  }

  /** Not abortable: what was sent is written, and others have to wait until it is. */
  async write(offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { client, number } = this.#file.current
    const own = bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice()
    await client.port.call('write', [number, offset, own], { transfer: [own.buffer] })
  }

  async truncate(size: number): Promise<void> {
    const { client, number } = this.#file.current
    await client.port.call('truncate', [number, size])
  }

  async flush(): Promise<void> {
    const { client, number } = this.#file.current
    await client.port.call('flush', [number])
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
