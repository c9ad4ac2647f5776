import type { StorageOpenOptions } from '../../base/storage/contract.js'
import type { Remote } from '../cache/cached-storage.js'
import { addressOf, type CachedFile } from '../cache/range-cache.js'
import { Shared } from '../shared.js'
import { identity, judge } from './answer.js'
import { answerOf, body, connect, discard, type HttpAccess, send } from './connection.js'
import { Limit } from './limit.js'
import { retry } from './retry.js'
import { type Watch, watched } from './watch.js'

/** A file on a server: a request for each read. */
export class FetchStorage implements Remote {
  readonly #access: HttpAccess
  readonly #limit: Limit
  readonly #connection

  constructor(access: HttpAccess) {
    this.#access = access
    this.#limit = new Limit(access.connections)
    this.#connection = new Shared((signal) => connect(access, signal))
  }

  open(options?: StorageOpenOptions): Promise<void> {
    return this.#connection.open(options)
  }

  size(): number {
    return this.#connection.current.file.size
  }

  async read(offset: number, length: number, { signal }: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    const { file, here } = this.#connection.current
    const range = { start: offset, end: offset + length }
    if (range.end > file.size) throw new RangeError(`The file ends at ${file.size}; ${range.end} was asked for.`)
    if (range.end <= here.size) return new Uint8Array(await here.slice(range.start, range.end).arrayBuffer())
    const { patience, timeout } = this.#access
    const attempt = async (watch: Watch) => {
      const response = await send(this.#access, { range, condition: file.condition }, watch)
      try {
        judge(answerOf(response), file, range)
        return await body(response, range, watch)
      } catch (error) {
        discard(response)
        throw error
      }
    }
    return this.#limit.run(signal, () => retry(patience, signal, () => watched(timeout, signal, range.start, attempt)))
  }

  identity(): string {
    return identity(this.#access.url, this.#connection.current.file)
  }

  state(): CachedFile | undefined {
    const { validator, size } = this.#connection.current.file
    const url = addressOf(this.#access.url)
    // The length too: where it is another, so is the file, whatever its tag.
    return validator === undefined ? undefined : { url, validator: `${size} ${validator}` }
  }

  close(): Promise<void> {
    return this.#connection.close()
  }
}
