import type { Abortable } from '../abort.js'
import { integer } from '../checks.js'
import { invalidArgument } from '../errors.js'
import { made } from './recipe.js'
import { type AsyncStorage, ask } from './types.js'

/**
 * Parts of a file as `[offset, length]` in bytes, in the order in which they were first read. It can be kept as JSON; so one
 * user's start of a machine serves all others.
 */
export type PrefetchList = readonly (readonly [offset: number, length: number])[]

/** A storage that remembers what was read of it. */
export interface Recorded extends AsyncStorage {
  /** What was read up to now, in blocks of 64 KiB. */
  list(): PrefetchList
}

/** How {@link prefetched} goes ahead. */
export interface PrefetchOptions {
  /**
   * How far it goes ahead of the reader, in bytes; no more than half of what the storage keeps. Default: 8 MiB, for the
   * 16 MiB that `http` keeps.
   */
  readonly ahead?: number
}

/** A storage that remembers what is read of it, for {@link prefetched} to fetch before it is needed. */
export function recorded(storage: AsyncStorage): Recorded {
  const blocks = new Set<number>()
  return {
    ...through(storage),
    read(offset, length, options) {
      const last = Math.ceil((offset + length) / block)
      for (let number = Math.floor(offset / block); number < last; number += 1) blocks.add(number)
      return ask(storage, offset, length, options)
    },
    list() {
      const list: [number, number][] = []
      for (const number of blocks) {
        const before = list.at(-1)
        if (before && before[0] + before[1] === number * block) before[1] += block
        else list.push([number * block, block])
      }
      return list
    },
  }
}

/**
 * A storage whose parts are fetched in the order of a list, in large requests, before they are needed: for a machine that
 * starts from an image on a server, and reads much the same each time. The storage must be one that keeps what it has
 * fetched, as `http` does.
 *
 * It goes no further ahead than `ahead`, so where a reader leaves the path of the list, it stops. What can't be fetched is
 * left to those who need it.
 *
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if the list is none.
 */
export function prefetched(storage: AsyncStorage, list: PrefetchList, options: PrefetchOptions = {}): AsyncStorage {
  const ahead = integer(options.ahead ?? 8 * 1024 * 1024, 'ahead')
  const path = new Path(list)
  let run: Run | undefined
  let users = 0
  const file: AsyncStorage = {
    ...through(storage),
    async open() {
      await storage.open?.()
      users += 1
      run ??= new Run(storage, path, ahead, await storage.size())
    },
    read(offset, length, request) {
      run?.pass(path.after(offset, length))
      return ask(storage, offset, length, request)
    },
    async close() {
      users -= 1
      if (users === 0) {
        run?.stop()
        run = undefined
      }
      await storage.close?.()
    },
  }
  return made(file, { maker: 'prefetched', args: () => [storage, list, options] })
}

const block = 64 * 1024
/** The largest request, in bytes. */
const largest = 1024 * 1024
/** How much of the list counts as needed at about the same time, in bytes. */
const together = 4 * 1024 * 1024
/** A hole that is fetched rather than that there are two requests, in bytes. */
const gap = 256 * 1024
/** Requests under way at one time, so that the link is never idle. */
const atOnce = 3

/** A list in another order, so that neighbours that are needed at about the same time come in one request. */
function joined(list: PrefetchList): [number, number][] {
  if (!Array.isArray(list)) throw invalidArgument('A prefetch list is an array of pairs of offset and length.')
  const ranges: [number, number][] = []
  let group: [number, number][] = []
  let length = 0
  const end = () => {
    for (const [offset, count] of group.sort((a, b) => a[0] - b[0])) {
      const before = ranges.at(-1)
      const last = before ? before[0] + before[1] : Number.NEGATIVE_INFINITY
      if (before && offset >= before[0] && offset - last <= gap) before[1] = Math.max(last, offset + count) - before[0]
      else ranges.push([offset, count])
    }
    group = []
    length = 0
  }
  for (const entry of list) {
    group.push([integer(entry?.[0], 'An offset'), integer(entry?.[1], 'A length')])
    length += entry[1]
    if (length >= together) end()
  }
  end()
  return ranges
}

/** The pieces of a list, and how long the way is to the end of each. */
class Path {
  readonly pieces: { readonly offset: number; readonly length: number; readonly end: number }[] = []
  /** By number of block: the piece in which it comes first. */
  readonly #blocks = new Map<number, number>()

  constructor(list: PrefetchList) {
    let end = 0
    for (const [start, whole] of joined(list)) {
      for (let offset = start; offset < start + whole; offset += largest) {
        const length = Math.min(largest, start + whole - offset)
        end += length
        this.#add(offset, length)
        this.pieces.push({ offset, length, end })
      }
    }
  }

  /** How far along a reader of a range is. */
  after(offset: number, length: number): number {
    let furthest = 0
    const last = Math.ceil((offset + length) / block)
    for (let number = Math.floor(offset / block); number < last; number += 1) {
      const index = this.#blocks.get(number)
      if (index !== undefined) furthest = Math.max(furthest, this.pieces[index]?.end ?? 0)
    }
    return furthest
  }

  #add(offset: number, length: number): void {
    const last = Math.ceil((offset + length) / block)
    for (let number = Math.floor(offset / block); number < last; number += 1) {
      if (!this.#blocks.has(number)) this.#blocks.set(number, this.pieces.length)
    }
  }
}

/** One walk along a path. */
class Run {
  readonly #storage: AsyncStorage
  readonly #path: Path
  readonly #ahead: number
  readonly #size: number
  readonly #stop = new AbortController()
  /** The next piece. */
  #next = 0
  #inFlight = 0
  /** How far the reader has come. */
  #passed = 0

  constructor(storage: AsyncStorage, path: Path, ahead: number, size: number) {
    this.#storage = storage
    this.#path = path
    this.#ahead = ahead
    this.#size = size
    this.#go()
  }

  pass(way: number): void {
    if (way <= this.#passed) return
    this.#passed = way
    this.#go()
  }

  stop(): void {
    this.#stop.abort()
  }

  #go(): void {
    while (this.#inFlight < atOnce && !this.#stop.signal.aborted) {
      const piece = this.#path.pieces[this.#next]
      if (!piece || piece.end - this.#passed > this.#ahead) return
      this.#next += 1
      // The file may be shorter than the one that the list was recorded of.
      const length = Math.min(piece.length, this.#size - piece.offset)
      if (length > 0 && piece.end > this.#passed) this.#fetch(piece.offset, length)
    }
  }

  #fetch(offset: number, length: number): void {
    this.#inFlight += 1
    const request: Abortable = { signal: this.#stop.signal }
    ask(this.#storage, offset, length, request).then(
      () => {
        this.#inFlight -= 1
        this.#go()
      },
      () => this.stop(),
    )
  }
}

/** What decorators leave as it is. */
function through(storage: AsyncStorage): AsyncStorage {
  return {
    open: () => storage.open?.(),
    size: () => storage.size(),
    read: (offset, length, options) => ask(storage, offset, length, options),
    identity: () => storage.identity?.(),
    close: () => storage.close?.(),
  }
}
