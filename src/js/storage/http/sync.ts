import { isQcow2Error } from '../../base/errors.js'
import type { StorageOpenOptions, SyncStorage } from '../../base/storage/contract.js'
import type { Range } from '../cache/segments.js'
import { Shared } from '../shared.js'
import { type Answer, cut, identity, judge, type RemoteFile, rangeHeader, silent, unreachable } from './answer.js'
import { connect, type HttpAccess } from './connection.js'
import { Transient } from './retry.js'

/** A file on a server, read while the worker waits: a request for each read. */
export class SyncHttpStorage implements SyncStorage {
  readonly #access: HttpAccess
  readonly #connection

  constructor(access: HttpAccess) {
    this.#access = access
    this.#connection = new Shared(async (signal) => {
      const { file, here } = await connect(access, signal)
      return { file, here: new Uint8Array(await here.arrayBuffer()) }
    })
  }

  open(options?: StorageOpenOptions): Promise<void> {
    return this.#connection.open(options)
  }

  size(): number {
    return this.#connection.current.file.size
  }

  readSync(offset: number, into: Uint8Array): void {
    const { file, here } = this.#connection.current
    const range = { start: offset, end: offset + into.length }
    if (range.end > file.size) throw new RangeError(`The file ends at ${file.size}; ${range.end} was asked for.`)
    into.set(range.end <= here.length ? here.subarray(range.start, range.end) : this.#fetch(file, range))
  }

  identity(): string {
    return identity(this.#access.url, this.#connection.current.file)
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  #fetch(file: RemoteFile, range: Range): Uint8Array {
    try {
      return this.#request(file, range, {})
    } catch (error) {
      if (!isQcow2Error(error) || error.code !== 'FILE_CHANGED') throw error
      try {
        // It may be an older file that the browser has kept. Of another origin's server the header takes a permission.
        return this.#request(file, range, { 'cache-control': 'no-cache' })
      } catch {
        throw error
      }
    }
  }

  /** Tries again without a pause: a worker that waits can't let time pass. */
  #request(file: RemoteFile, range: Range, headers: Readonly<Record<string, string>>): Uint8Array {
    for (let failed = 0; ; failed += 1) {
      try {
        return request(this.#access, file, range, headers)
      } catch (error) {
        if (!(error instanceof Transient)) throw error
        if (failed >= Math.min(this.#access.patience.retries, error.retries)) throw error.error
      }
    }
  }
}

function request(
  { url, requestInit, timeout }: HttpAccess,
  file: RemoteFile,
  range: Range,
  more: Readonly<Record<string, string>>,
): Uint8Array {
  const xhr = new XMLHttpRequest()
  xhr.open('GET', url, false)
  xhr.responseType = 'arraybuffer'
  // It counts all of the time that the request takes, so a slow server gets more of it.
  if (timeout > 0) xhr.timeout = timeout + (range.end - range.start) / slowest
  xhr.withCredentials = requestInit.credentials === 'include'
  const headers = new Headers({ ...Object.fromEntries(new Headers(requestInit.headers)), ...more })
  headers.set('range', rangeHeader(range))
  if (file.condition !== undefined) headers.set('if-range', file.condition)
  headers.forEach((value, name) => {
    xhr.setRequestHeader(name, value)
  })
  try {
    xhr.send()
  } catch (error) {
    throw isTimeout(error) ? silent(timeout, range.start) : unreachable(error, range.start)
  }
  const answer: Answer = { status: xhr.status, header: (name) => xhr.getResponseHeader(name) }
  judge(answer, file, range)
  const bytes = new Uint8Array(xhr.response as ArrayBuffer)
  if (bytes.length !== range.end - range.start) throw cut(bytes.length, range)
  return bytes
}

/** The slowest server that is waited for, in bytes per millisecond. */
const slowest = 16

const isTimeout = (error: unknown): boolean => error instanceof DOMException && error.name === 'TimeoutError'
