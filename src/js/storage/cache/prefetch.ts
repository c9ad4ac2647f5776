import type { Abortable } from '../../base/abort.js'
import { integer, optionsIn } from '../../base/arguments.js'
import { invalidArgument, isQcow2Error } from '../../base/errors.js'
import { type AsyncStorage, ask, checkedStorage, isSync } from '../../base/storage/contract.js'
import { made } from '../recipe.js'
import { Shared } from '../shared.js'
import { firstAfter, type Range } from './segments.js'

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
  readonly ahead?: number | undefined
}

/**
 * A storage that remembers what is read of it, for {@link prefetched} to fetch before it is needed.
 *
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `storage` is none, or a synchronous one.
 *
 * @example
 * ```ts
 * const remote = recorded(http('https://example.org/disk.qcow2'))
 * const image = await Qcow2.open(remote)
 * await image.read(0, 4096) // What the app reads when it starts.
 * const list = remote.list()
 * ```
 */
export function recorded(storage: AsyncStorage): Recorded {
  mustWait(storage)
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
 * fetched, as `http` does: with a `persistentCache`, or with a `readAhead.budget` of the list's length, nothing is fetched
 * twice. The list knows better than a forecast what is next: with a `readAhead.window` of 0 there are the fewest requests.
 *
 * Parts that are near each other come together, whenever they are needed. What a reader needs before its turn comes first.
 * It goes no further ahead than `ahead`, so where a reader leaves the path of the list, it stops. A part that can't be fetched
 * is skipped, and left to the requests that need it; after several in a row it waits until the reader asks for something.
 *
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if the list is none, or `storage`, or if that is a synchronous one.
 *
 * @example
 * ```ts
 * const remote = http('https://example.org/disk.qcow2')
 * const image = await Qcow2.open(prefetched(remote, list)) // `list` is of an earlier {@link recorded}.
 * ```
 */
export function prefetched(storage: AsyncStorage, list: PrefetchList, options: PrefetchOptions = {}): AsyncStorage {
  mustWait(storage)
  const ahead = integer(optionsIn(options).ahead ?? 8 * 1024 * 1024, 'ahead')
  const entries = checked(list)
  const run = new Shared(
    async (signal) => {
      await storage.open?.({ signal })
      try {
        return new Run(storage, new Path(entries, await storage.size()), ahead)
      } catch (error) {
        await storage.close?.()
        throw error
      }
    },
    (run) => {
      run.stop()
      return storage.close?.()
    },
  )
  const file: AsyncStorage = {
    ...through(storage),
    open: (options) => run.open(options),
    read(offset, length, request) {
      run.current.need(offset, length)
      return ask(storage, offset, length, request)
    },
    close: () => run.close(),
  }
  return made(file, { maker: 'prefetched', args: () => [storage, list, options] })
}

const block = 64 * 1024
/** The largest request, in bytes. */
const largest = 2 * 1024 * 1024
/** A hole that is fetched rather than that there are two requests, in bytes. */
const gap = 256 * 1024
/** Requests under way at one time, so that the link is never idle. */
const atOnce = 3
/** After so many failures in a row the storage is not asked for more until its reader asks: it may be out of reach for long. */
const patience = 3

/** The segments of a list: each is fetched by one request. */
class Path {
  /** By offset. */
  readonly #sorted: readonly Range[]
  /** In the order in which they are needed. */
  readonly segments: readonly Range[]

  /** For a file of `size` bytes, which may be shorter than the one that the list was recorded of. */
  constructor(list: PrefetchList, size: number) {
    this.#sorted = joined(list)
      .map(({ start, end }) => ({ start, end: Math.min(end, size) }))
      .flatMap(cut)
    this.segments = [...new Set(list.flatMap(([offset, length]) => [...this.over(offset, length)]))]
  }

  /** The segments that a range touches. */
  *over(offset: number, length: number): Iterable<Range> {
    for (let index = firstAfter(this.#sorted, offset); ; index += 1) {
      const segment = this.#sorted[index]
      if (!segment || segment.start >= offset + length) return
      yield segment
    }
  }
}

/** Throws unless a storage is one that has to be waited for. */
function mustWait(storage: AsyncStorage): void {
  if (!isSync(checkedStorage(storage, 'What is fetched'))) return
  throw invalidArgument('A synchronous storage has nothing to be fetched before it is needed.')
}

/** A copy of a list, if it is one. */
function checked(list: PrefetchList): PrefetchList {
  if (!Array.isArray(list)) throw invalidArgument('A prefetch list is an array of pairs of offset and length.')
  return list.map((entry) => [integer(entry?.[0], 'An offset'), integer(entry?.[1], 'A length')])
}

/** Neighbours as one; by offset. */
function joined(entries: PrefetchList): Range[] {
  const ranges: { start: number; end: number }[] = []
  for (const [start, length] of [...entries].sort((a, b) => a[0] - b[0])) {
    const last = ranges.at(-1)
    if (last && start - last.end <= gap) last.end = Math.max(last.end, start + length)
    else ranges.push({ start, end: start + length })
  }
  return ranges
}

/** The parts of what is long. */
function cut({ start, end }: Range): Range[] {
  const parts: Range[] = []
  for (let at = start; at < end; at += largest) parts.push({ start: at, end: Math.min(at + largest, end) })
  return parts
}

/** One walk along a path. */
class Run {
  readonly #storage: AsyncStorage
  readonly #path: Path
  readonly #ahead: number
  readonly #stop = new AbortController()
  readonly #begun = new Set<Range>()
  readonly #needed = new Set<Range>()
  /** The next segment. */
  #next = 0
  #inFlight = 0
  /** How many bytes of what was begun have not been needed yet. */
  #unread = 0
  /** How many segments failed since the last one that came, or since the reader asked for something. */
  #failures = 0

  constructor(storage: AsyncStorage, path: Path, ahead: number) {
    this.#storage = storage
    this.#path = path
    this.#ahead = ahead
    this.#go()
  }

  need(offset: number, length: number): void {
    this.#failures = 0
    for (const segment of this.#path.over(offset, length)) {
      if (this.#begun.has(segment)) this.#pass(segment)
      else {
        this.#needed.add(segment)
        this.#begin(segment)
      }
    }
    this.#go()
  }

  stop(): void {
    this.#stop.abort()
  }

  #go(): void {
    while (this.#inFlight < atOnce && this.#failures < patience && !this.#stop.signal.aborted) {
      const segment = this.#path.segments[this.#next]
      if (!segment || (!this.#begun.has(segment) && this.#unread + segment.end - segment.start > this.#ahead)) return
      this.#next += 1
      if (this.#begun.has(segment)) continue
      this.#unread += segment.end - segment.start
      this.#begin(segment)
    }
  }

  #begin(segment: Range): void {
    if (this.#stop.signal.aborted) return
    this.#begun.add(segment)
    this.#inFlight += 1
    const request: Abortable = { signal: this.#stop.signal }
    ask(this.#storage, segment.start, segment.end - segment.start, request).then(
      () => {
        this.#inFlight -= 1
        this.#failures = 0
        this.#go()
      },
      (error) => this.#skip(segment, error),
    )
  }

  /** Skips a segment that failed: its reader asks the storage for it, and receives the error if it fails again. */
  #skip(segment: Range, error: unknown): void {
    this.#inFlight -= 1
    this.#failures += 1
    this.#pass(segment)
    if (isQcow2Error(error) && lasting.includes(error.code)) this.stop()
    else this.#go()
  }

  /** No longer counts a segment that was begun as unread. */
  #pass(segment: Range): void {
    if (this.#needed.has(segment)) return
    this.#needed.add(segment)
    this.#unread -= segment.end - segment.start
  }
}

/** Failures that every other segment would have too. */
const lasting: readonly string[] = ['FILE_CHANGED', 'NO_RANGES', 'CLOSED']

/** What decorators leave as it is. */
function through(storage: AsyncStorage): AsyncStorage {
  return {
    open: (options) => storage.open?.(options),
    size: () => storage.size(),
    read: (offset, length, options) => ask(storage, offset, length, options),
    identity: () => storage.identity?.(),
    close: () => storage.close?.(),
  }
}
