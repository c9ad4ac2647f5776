/** Files that are compressed as a whole, such as those of downloads. */

import type { Compression } from './file-kind'
import type { Progress } from './protocol'
import { readFrom, type SourceFile, sizeOf } from './source'
import { xzStreams } from './xz-streams'

type Bytes = Uint8Array<ArrayBuffer>

/** How many bytes of the file are read in one request. */
const CHUNK = 256 * 1024
/** How many bytes a decompressor takes in one call: few, for a few bytes may stand for many. */
const STEP = 4096

/**
 * Streams what a file is compressed of. The progress counts the bytes of the file. The stream fails with a sentence where the
 * file is corrupt or cut off.
 */
export async function decompressed(
  file: SourceFile,
  kind: Compression,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<ReadableStream<Bytes>> {
  const total = await sizeOf(file)
  const part = (start: number, end: number) => partOf(file, start, end, signal, (done) => onProgress({ done, total }))
  if (kind === 'gzip') return part(0, total).pipeThrough(new DecompressionStream('gzip'))
  if (kind === 'zstd') return part(0, total).pipeThrough(await unzstd())
  const streams = await xzStreams((offset, length) => readFrom(file, offset, length, signal), total)
  return joined(
    streams.map(
      ({ start, end }) =>
        () =>
          unxz(part(start, end)),
    ),
  )
}

/** A part of the file. Reads no more than is consumed. */
function partOf(
  file: SourceFile,
  start: number,
  end: number,
  signal: AbortSignal,
  onRead: (done: number) => void,
): ReadableStream<Bytes> {
  let at = start
  return new ReadableStream(
    {
      async pull(controller) {
        if (at === end) return controller.close()
        const bytes = (await readFrom(file, at, Math.min(CHUNK, end - at), signal)) as Bytes
        at += bytes.length
        onRead(at)
        controller.enqueue(bytes)
      },
    },
    { highWaterMark: 1 },
  )
}

async function unzstd(): Promise<TransformStream<Bytes, Bytes>> {
  const { Decompress } = await import('fzstd')
  const decompressor = new Decompress()
  const push = (bytes: Uint8Array, isLast: boolean) => {
    try {
      decompressor.push(bytes, isLast)
    } catch (error) {
      throw new Error(`the zstd data is corrupt: ${error instanceof Error ? error.message : error}.`)
    }
  }
  return new TransformStream({
    start(controller) {
      decompressor.ondata = (bytes) => {
        // Its window is used again.
        if (bytes.length > 0) controller.enqueue(bytes.slice() as Bytes)
      }
    },
    transform(chunk) {
      for (let at = 0; at < chunk.length; at += STEP) push(chunk.subarray(at, at + STEP), false)
    },
    flush: () => push(new Uint8Array(0), true),
  })
}

async function unxz(compressed: ReadableStream<Bytes>): Promise<ReadableStream<Bytes>> {
  const { XzReadableStream } = await import('xz-decompress')
  return new XzReadableStream(compressed) as ReadableStream<Bytes>
}

/** Streams that are opened one after another, as one. */
function joined(streams: (() => Promise<ReadableStream<Bytes>>)[]): ReadableStream<Bytes> {
  const waiting = [...streams]
  let reader: ReadableStreamDefaultReader<Bytes> | null = null
  return new ReadableStream({
    async pull(controller) {
      for (;;) {
        if (!reader) {
          const next = waiting.shift()
          if (!next) return controller.close()
          reader = (await next()).getReader()
        }
        const { done, value } = await reader.read().catch((error) => {
          throw new Error(`the xz data is corrupt: ${error instanceof Error ? error.message : error}.`)
        })
        if (!done) return controller.enqueue(value)
        reader = null
      }
    },
    cancel: (reason) => reader?.cancel(reason),
  })
}
