import { whileAlive } from '../base/abort.js'
import { advance, type ByteCount, bytesIn, integer, watchIn, within } from '../base/arguments.js'
import type { LongOptions } from '../base/progress.js'
import type { ReadableOptions } from './disk.js'

/** A range of a disk. */
interface DiskRange {
  readonly offset: ByteCount
  /** In bytes. */
  readonly length: number
}

/** How much is read ahead at most: chunks, and bytes of several chunks. */
const ahead = { chunks: 4, bytes: 4 * 1024 * 1024 }

/**
 * A stream of chunks. Some are read ahead of what has been taken, so that reading and consuming overlap.
 *
 * Not of type `bytes`: not every browser has such streams, and at this size of chunks little is gained by them.
 *
 * @param read the bytes of a range, in an array that is given away.
 */
export function readStream(
  { offset, length }: DiskRange,
  options: ReadableOptions,
  read: (offset: ByteCount, length: number, signal: AbortSignal) => Promise<Uint8Array<ArrayBuffer>>,
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
  const readAhead = () => {
    while (pending.length < depth && asked < length) {
      const count = Math.min(chunk, length - asked)
      const bytes = read(advance(offset, asked), count, stop.signal)
      // It is looked at when its turn comes.
      bytes.catch(() => {})
      pending.push(bytes)
      asked += count
    }
  }
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      start(controller) {
        stop.signal.addEventListener('abort', () => controller.error(stop.signal.reason), { once: true })
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
    // Chunks wait as promises, not in the queue, so that nothing is read before the first is taken.
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
