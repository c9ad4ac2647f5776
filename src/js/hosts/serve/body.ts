import type { ByteRange } from './ranges.js'

/** A disk that can be served. */
export interface ServedDisk {
  /** The size in bytes. */
  readonly size: number
  /** False if its bytes never change. */
  readonly readOnly?: boolean
  /** Reads `length` bytes at `offset`. */
  read(offset: number, length: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<Uint8Array>
}

/** How much is read at a time. */
const chunkSize = 512 * 1024

/** A source of bytes, in parts. */
type Parts = AsyncGenerator<Uint8Array<ArrayBuffer>>

/**
 * The body with a part of a disk. Its first bytes have been read when this resolves, so that a disk that can't be read is
 * an answer, not a body that breaks off.
 */
export async function bodyOf(
  disk: ServedDisk,
  range: ByteRange,
  request: Request,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>> | null> {
  if (request.method === 'HEAD' || range.start === range.end) return null
  const abort = new AbortController()
  return streamed(partsOf(disk, range, abort.signal), abort, request.signal)
}

/** The body with several parts of a disk, each under its own header. */
export async function multipartOf(
  disk: ServedDisk,
  ranges: readonly ByteRange[],
  type: string,
  request: Request,
): Promise<{ readonly body: ReadableStream<Uint8Array> | null; readonly length: number; readonly boundary: string }> {
  const boundary = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => (byte & 15).toString(16)).join('')
  const encoder = new TextEncoder()
  const encoded = ranges.map((range) => {
    const content = `content-type: ${type}\r\ncontent-range: bytes ${range.start}-${range.end - 1}/${disk.size}`
    return { range, header: encoder.encode(`\r\n--${boundary}\r\n${content}\r\n\r\n`) }
  })
  const tail = encoder.encode(`\r\n--${boundary}--\r\n`)
  const length = encoded.reduce((sum, { range, header }) => sum + header.length + range.end - range.start, tail.length)
  if (request.method === 'HEAD') return { body: null, length, boundary }

  const abort = new AbortController()
  async function* parts(): Parts {
    for (const { range, header } of encoded) {
      yield header
      yield* partsOf(disk, range, abort.signal)
    }
    yield tail
  }
  return { body: await streamed(parts(), abort, request.signal), length, boundary }
}

async function* partsOf(disk: ServedDisk, { start, end }: ByteRange, signal: AbortSignal): Parts {
  for (let at = start; at < end; at += chunkSize) {
    signal.throwIfAborted()
    const length = Math.min(chunkSize, end - at)
    yield (await disk.read(at, length, { signal })) as Uint8Array<ArrayBuffer>
  }
}

/** A stream that reads the next part when its consumer asks for one; `abort` stops a read that is no longer needed. */
async function streamed(
  parts: Parts,
  abort: AbortController,
  wanted: AbortSignal,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  wanted.throwIfAborted()
  const give = () => abort.abort(wanted.reason)
  wanted.addEventListener('abort', give)
  const end = () => wanted.removeEventListener('abort', give)
  let first: IteratorResult<Uint8Array<ArrayBuffer>> | undefined
  try {
    first = await parts.next()
  } catch (error) {
    end()
    throw error
  }
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done, value } = first ?? (await parts.next())
          first = undefined
          if (!done) return controller.enqueue(value)
          end()
          controller.close()
        } catch (error) {
          end()
          throw error
        }
      },
      async cancel(reason) {
        end()
        abort.abort(reason)
        await parts.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}
