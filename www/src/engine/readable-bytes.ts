/** Bytes that a search and a hash read: those of a disk, or of a file as it is stored. */

import type { Disk } from 'qcow2-web'
import { readFrom, type SourceFile, sizeOf } from './source'

/** A range of bytes. */
export interface Span {
  start: bigint
  end: bigint
}

export interface ReadableBytes {
  readonly size: bigint
  read(offset: bigint, length: number, signal: AbortSignal): Promise<Uint8Array>
  /** The ranges within `span` that may have bytes other than zeros, in ascending order. */
  data(span: Span, signal: AbortSignal): AsyncIterable<Span>
}

export function diskBytes(disk: Disk): ReadableBytes {
  return {
    size: BigInt(disk.size),
    read: (offset, length, signal) => disk.read(offset, length, { signal }),
    async *data({ start, end }, signal) {
      for await (const extent of disk.map({ offset: start, length: end - start, signal })) {
        if (!extent.data) continue
        const from = BigInt(extent.start)
        yield { start: from, end: from + BigInt(extent.length) }
      }
    },
  }
}

export async function fileBytes(file: SourceFile): Promise<ReadableBytes> {
  return {
    size: BigInt(await sizeOf(file)),
    read: (offset, length, signal) => readFrom(file, Number(offset), length, signal),
    async *data(span) {
      yield span
    },
  }
}

/** How many bytes are read in one request. */
const CHUNK = 1 << 20

/** The bytes of a range, in chunks. */
export async function* chunksOf(
  bytes: ReadableBytes,
  { start, end }: Span,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += BigInt(CHUNK)) {
    yield await bytes.read(at, end - at < BigInt(CHUNK) ? Number(end - at) : CHUNK, signal)
  }
}

/** The chunks of a stream, which is cancelled if not all of them are consumed. Not all browsers can iterate over streams. */
export async function* chunksFrom(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    await reader.cancel().catch(() => {})
  }
}
