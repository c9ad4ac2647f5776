import { advance, type ByteCount } from '../base/arguments.js'
import type { Progress } from '../base/progress.js'

/** What a stream is made of. */
export interface StreamSource {
  readonly offset: ByteCount
  /** In bytes. */
  readonly length: number
  readonly chunkSize: number
  readonly signal: AbortSignal | undefined
  readonly onProgress: ((progress: Progress) => void) | undefined
  /** The `length` bytes at `offset`, in an array that is given away. */
  read(offset: ByteCount, length: number, options: { readonly signal: AbortSignal }): Promise<Uint8Array<ArrayBuffer>>
}

/**
 * A stream of chunks, which reads one chunk more than has been taken, so that reading and consuming overlap.
 *
 * Not of type `bytes`: not every engine has such streams, and at this size of chunks little is gained by them.
 */
export function stream(source: StreamSource): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { offset, length, chunkSize, signal, onProgress } = source
  const stop = new AbortController()
  const abort = () => stop.abort(signal?.reason)
  const forget = () => signal?.removeEventListener('abort', abort)
  let done = 0
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      start(controller) {
        stop.signal.addEventListener('abort', () => controller.error(stop.signal.reason), { once: true })
        signal?.addEventListener('abort', abort, { once: true })
        if (signal?.aborted) abort()
        else if (length === 0) controller.close()
      },
      async pull(controller) {
        const count = Math.min(chunkSize, length - done)
        let chunk: Uint8Array<ArrayBuffer>
        try {
          chunk = await source.read(advance(offset, done), count, { signal: stop.signal })
        } catch (error) {
          forget()
          throw error
        }
        done += chunk.length
        controller.enqueue(chunk)
        onProgress?.({ done, total: length })
        if (done < length) return
        forget()
        controller.close()
      },
      cancel(reason) {
        forget()
        stop.abort(reason)
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: chunkSize }),
  )
}
