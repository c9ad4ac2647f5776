import { whileAlive } from '../base/abort.js'
import { advance, type ByteCount, bytesIn, integer, watchIn, within } from '../base/arguments.js'
import type { LongOptions } from '../base/progress.js'
import type { Run } from '../base/storage/contract.js'
import type { ReadableOptions } from './disk.js'

/** A range of a disk. */
interface DiskRange {
  readonly offset: ByteCount
  /** In bytes. */
  readonly length: number
}

/** How much is read ahead at most: chunks, and bytes of several chunks. */
const ahead = { chunks: 4, bytes: 4 * 1024 * 1024 }

/** What {@link readStream} reads from. */
export interface StreamSource {
  /** Reads a range into a new array, which the stream gives away. */
  read(offset: ByteCount, length: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>
  /**
   * Opens the longest run at `offset`: bytes that one storage has side by side, and reads faster in order. Its length is `length`,
   * or less and a multiple of `unit`. Returns `undefined` if there is none.
   */
  readonly openRun:
    | ((offset: ByteCount, length: number, unit: number, signal: AbortSignal) => Promise<Run | undefined>)
    | undefined
}

/**
 * Returns a stream of chunks. It reads some chunks ahead of its consumer, so that reading and consuming overlap.
 *
 * Not of type `bytes`: not every browser has such streams, and chunks of this size gain little by them.
 */
export function readStream(
  { offset, length }: DiskRange,
  options: ReadableOptions,
  source: StreamSource,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { chunkSize = 1024 * 1024 } = options
  const { signal, onProgress } = watchIn(options)
  const chunk = integer(chunkSize, 'chunkSize', 1)
  const depth = Math.max(1, Math.min(ahead.chunks, Math.floor(ahead.bytes / chunk)))
  const stop = new AbortController()
  const pending: Promise<Uint8Array<ArrayBuffer>>[] = []
  let ignore = () => {}
  let asked = 0
  let done = 0
  let run: { readonly bytes: Run; readonly end: number } | undefined
  const { openRun } = source
  /** Resolves when it is known how the chunk before is read. */
  let decided: Promise<unknown> = Promise.resolve()
  const read = (start: number, count: number): Promise<Uint8Array<ArrayBuffer>> => {
    const at = advance(offset, start)
    if (!openRun) return source.read(at, count, stop.signal)
    const decision = decided.then(async () => {
      if (!run || start >= run.end) {
        const bytes = await openRun(at, length - start, chunk, stop.signal)
        run = bytes && { bytes, end: start + bytes.length }
        if (stop.signal.aborted) bytes?.close()
      }
      // In an object, because the decision is not to wait for the bytes.
      return { bytes: run ? run.bytes.read(count) : source.read(at, count, stop.signal) }
    })
    decided = decision.catch(() => {})
    return decision.then(({ bytes }) => bytes)
  }
  const readAhead = () => {
    while (pending.length < depth && asked < length) {
      const count = Math.min(chunk, length - asked)
      const bytes = read(asked, count)
      // It is looked at when its turn comes.
      bytes.catch(() => {})
      pending.push(bytes)
      asked += count
    }
  }
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      start(controller) {
        const end = () => {
          run?.bytes.close()
          controller.error(stop.signal.reason)
        }
        stop.signal.addEventListener('abort', end, { once: true })
        if (signal) ignore = whileAlive(signal, stop, abort)
        if (!stop.signal.aborted && length === 0) controller.close()
      },
      async pull(controller) {
        try {
          readAhead()
          const bytes = (await pending.shift()) as Uint8Array<ArrayBuffer>
          done += bytes.length
          controller.enqueue(bytes)
          onProgress?.({ done, total: length })
        } catch (error) {
          ignore()
          // What is on its way is not wanted any more.
          stop.abort(error)
          throw error
        }
        if (done < length) return
        ignore()
        controller.close()
      },
      cancel(reason) {
        ignore()
        stop.abort(reason)
      },
    },
    // Chunks wait as promises, not in the queue, so that nothing is read before the consumer asks for the first.
    { highWaterMark: 0 },
  )
}

/** A stream that writes a range from its beginning on, and flushes when it is closed. */
export function writeStream(
  { offset, length }: DiskRange,
  options: LongOptions,
  disk: {
    write(offset: ByteCount, bytes: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>
    flush(): Promise<void>
  },
): WritableStream<Uint8Array> {
  const { signal, onProgress } = watchIn(options)
  let done = 0
  let ignore = () => {}
  return new WritableStream<Uint8Array>({
    start(controller) {
      if (signal) ignore = whileAlive(signal, controller, fail)
    },
    async write(chunk, controller) {
      const bytes = bytesIn(chunk, 'A chunk')
      within(done, bytes.length, length)
      await disk.write(advance(offset, done), bytes, { signal: controller.signal })
      done += bytes.length
      onProgress?.({ done, total: length })
    },
    async close() {
      ignore()
      await disk.flush()
    },
    abort() {
      ignore()
    },
  })
}

// These are declared here because a closure would keep alive all that is around it.

function abort(controller: AbortController, reason: unknown): void {
  controller.abort(reason)
}

function fail(controller: WritableStreamDefaultController, reason: unknown): void {
  controller.error(reason)
}
