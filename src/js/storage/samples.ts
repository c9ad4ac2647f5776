import { unlessAborted } from '../base/abort.js'
import { explaining } from '../base/storage/access.js'
import { ask, exact, isSync, type Storage } from '../base/storage/contract.js'
import { withoutReadAhead } from './cache/read-ahead.js'
import type { Range } from './cache/segments.js'

const KiB = 1024
/** How much of the beginning is a sample: the header, and in most images the tables. */
const beginningLength = 64 * KiB
/** The most of a table that is a sample: all of it for a disk of 8 TiB with clusters of 64 KiB. */
const longestTable = 128 * KiB
/** So many samples are spread over the file. */
const count = 32
/** The length of each, in bytes. */
const length = 4 * KiB

/**
 * The SHA-256 of samples of a file that is open: its beginning, the L1 table and the refcount table of a qcow2 image, and 32
 * ranges of 4 KiB over the whole file. They take at most 35 requests for 448 KiB. Two files of the same length with the same
 * samples are most likely the same file, as it was deployed again; a change of a few bytes can be missed.
 *
 * @returns `undefined` where there is no WebCrypto, as on pages without HTTPS.
 */
export async function sampleHash(
  storage: Storage,
  size: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const subtle = globalThis.crypto?.subtle
  if (!subtle) return undefined
  // What is ahead of the samples is not wanted.
  const file = withoutReadAhead(storage)
  const stop = signal ?? new AbortController().signal
  const read = ({ start, end }: Range) => explaining('read', () => bytesOf(file, start, end - start, stop))
  const beginning = await read({ start: 0, end: Math.min(beginningLength, size) })
  const parts = [...tables(beginning), ...spread(size)].map((range) => within(range, size))
  const samples = await unlessAborted(Promise.all(parts.map(read)), signal)
  const hash = await subtle.digest('SHA-256', await new Blob([beginning, ...samples] as BlobPart[]).arrayBuffer())
  return base64(new Uint8Array(hash))
}

/** Where the tables of a qcow2 image are that is not large; whatever is recorded there. */
function tables(beginning: Uint8Array): Range[] {
  const view = new DataView(beginning.buffer, beginning.byteOffset, beginning.length)
  const isQcow2 = beginning.length >= 72 && view.getUint32(0) === 0x51_46_49_fb
  if (!isQcow2) return []
  const l1 = { offset: view.getBigUint64(40), length: view.getUint32(36) * 8 }
  const refcounts = {
    offset: view.getBigUint64(48),
    length: view.getUint32(56) * 2 ** Math.min(view.getUint32(20), 21),
  }
  return [l1, refcounts].map(({ offset, length }) => {
    const start = Number(offset)
    return { start, end: start + Math.min(length, longestTable) }
  })
}

/** Ranges over the whole file, from its first byte to its last. */
function spread(size: number): Range[] {
  return Array.from({ length: count }, (_, index) => {
    const start = Math.max(0, Math.floor(((size - length) * index) / (count - 1)))
    return { start, end: start + length }
  })
}

function within({ start, end }: Range, size: number): Range {
  return { start: Math.min(start, size), end: Math.min(end, size) }
}

async function bytesOf(storage: Storage, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
  if (length === 0) return new Uint8Array()
  if (!isSync(storage)) return exact(await ask(storage, offset, length, { signal }), offset, length)
  const bytes = new Uint8Array(length)
  storage.readSync(offset, bytes)
  return bytes
}

/** As in addresses (RFC 4648, section 5), without padding. */
function base64(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes))
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
