import { isSync, type Storage } from '../base/storage/contract.js'
import { blob } from '../storage/blob/blob.js'
import { fileHandle } from '../storage/blob/file-handle.js'
import { type PrefetchList, type PrefetchOptions, prefetched } from '../storage/cache/prefetch.js'
import { readAhead } from '../storage/cache/read-ahead.js'
import { http } from '../storage/http/http.js'
import { type IdbOptions, idb } from '../storage/idb/idb.js'
import { type ClaimOptions, claimOfPage } from '../storage/lock.js'
import type { OpfsFileOptions } from '../storage/opfs/file.js'
import { localOpfs } from '../storage/opfs/local.js'
import type { OpfsPath } from '../storage/opfs/path.js'
import type { Maker } from '../storage/recipe.js'
import type { PageMethods } from './rpc/client.js'
import type { Port } from './rpc/port.js'
import { remoteStorage } from './rpc/storages.js'
import { fromThrown, type Thrown } from './rpc/thrown.js'
import { type Encoded, mark, replaced, type Token } from './tokens.js'

/** What stands in a worker for objects of the page: the other side of `PageObjects`. */
export class Proxies {
  readonly #page: Port<PageMethods>
  readonly #signals = new Map<number, AbortController>()

  constructor(page: Port<PageMethods>) {
    this.#page = page
  }

  /** What was encoded. `numbers` takes what to `forget` in the end. */
  decode(encoded: Encoded, numbers: number[]): unknown {
    return replaced(encoded, (part) => (isToken(part) ? this.#redeem(part, numbers) : undefined))
  }

  /** A signal of the page is aborted, which may be heard of before the signal is. */
  abort(number: number, reason: Thrown): void {
    this.#signal(number).abort(fromThrown(reason))
  }

  forget(numbers: readonly number[]): void {
    for (const number of numbers) this.#signals.delete(number)
  }

  #redeem(token: Token, numbers: number[]): unknown {
    switch (token[mark]) {
      case 'function':
        return (...args: unknown[]) => this.#invoke(token.number, args, numbers)
      case 'signal':
        numbers.push(token.number)
        return this.#signal(token.number).signal
      case 'storage':
        return remoteStorage(this.#page, token.number, token.writable)
      case 'recipe':
        return make(token.maker, this.decode(token.args, numbers))
    }
  }

  #signal(number: number): AbortController {
    const known = this.#signals.get(number) ?? new AbortController()
    this.#signals.set(number, known)
    return known
  }

  #invoke(callback: number, args: readonly unknown[], numbers: number[]): Promise<unknown> {
    const answer = this.#page.call('invoke', [callback, args]).then((encoded) => this.decode(encoded, numbers))
    // A caller that only reports something does not look at the answer.
    answer.catch(() => {})
    return answer
  }
}

/** The functions that recipes name. */
const makers: Record<Maker, unknown> = {
  blob,
  fileHandle,
  http,
  idb: (name: string, options: IdbOptions) => idb(name, claimOfPage(options)),
  opfs: (path: OpfsPath, options: OpfsFileOptions, claim: ClaimOptions) => localOpfs(path, options, claimOfPage(claim)),
  // One that has to be waited for on the page may be synchronous here: nothing of that is to be fetched.
  prefetched: (storage: Storage, list: PrefetchList, options?: PrefetchOptions) =>
    isSync(storage) ? storage : prefetched(storage, list, options),
  readAhead,
}

function make(maker: Maker, args: unknown): Storage {
  return (makers[maker] as (...all: readonly unknown[]) => Storage)(...(args as readonly unknown[]))
}

function isToken(value: unknown): value is Token {
  return typeof value === 'object' && value !== null && mark in value
}
