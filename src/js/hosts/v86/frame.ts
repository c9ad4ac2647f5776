import { deflate, inflate } from './deflate.js'
import { bad, checksum } from './record.js'

// The state of a machine, as a snapshot's VM state holds it:
//
//   magic (16 bytes), length of the header (4), checksum of the header (4), the header as JSON,
//   segments of at most 1 MiB of the state, each with four 32-bit words before it: kind, length, stored length, checksum,
//   one such record with kind 3 and nothing after it.
//
// All numbers are little-endian.

const magic = new TextEncoder().encode('qcow2-web/v86 1\n')
const headerStart = magic.length + 8
const longestHeader = 64 * 1024
const segmentLength = 1024 * 1024
const recordLength = 16
const kind = { plain: 0, deflated: 1, zeros: 2, end: 3 } as const

/** A disk of a saved machine. */
export interface SavedDisk {
  /** Which drive it was in, such as `hda`. */
  readonly role: string
  readonly size: number
  /** True if the image has a snapshot of the disk, with the same save id. */
  readonly snapshot: boolean
  /** What identifies a disk without a snapshot. */
  readonly identity: string
  /** The write cache, as the guest saw it. */
  readonly writeCache: boolean
}

/** What a saved machine is. */
export interface FrameHeader {
  readonly emulator: 'v86'
  /** The save id: the snapshots of all disks of one machine have the same. */
  readonly save: string
  readonly memorySize: number
  /** The length of the state; 0 in the snapshots of the other disks. */
  readonly stateLength: number
  readonly disks: readonly SavedDisk[]
}

/** Writes a state with its header, in parts. `onWritten` is called with how many bytes of the state are written. */
export async function* frame(
  header: FrameHeader,
  state: Uint8Array,
  onWritten: (bytes: number) => void = () => {},
): AsyncGenerator<Uint8Array> {
  yield encodeHeader(header)
  const pace = new Pace()
  for (let at = 0; at < state.length; at += segmentLength) {
    const segment = state.subarray(at, at + segmentLength)
    const sum = checksum(segment)
    if (isZero(segment)) {
      yield record(kind.zeros, segment.length, 0, sum)
    } else {
      const deflated = pace.deflates ? await pace.deflating(() => deflate(segment), segment.length) : undefined
      const smaller = deflated && deflated.length < segment.length
      const stored = smaller ? deflated : segment
      yield record(smaller ? kind.deflated : kind.plain, segment.length, stored.length, sum)
      const began = performance.now()
      yield stored
      pace.wrote(stored.length, performance.now() - began)
    }
    onWritten(at + segment.length)
  }
  yield record(kind.end, 0, 0, 0)
}

/** Finds out whether a state is saved faster when it is compressed. */
class Pace {
  #writeTime = 0
  #writtenBytes = 0
  #deflateTime = 0
  #deflatedFrom = 0
  #deflatedTo = 0

  /** Whether to compress the next segment: the second one is compressed to learn what that takes. */
  get deflates(): boolean {
    if (this.#writtenBytes === 0) return false
    if (this.#deflatedFrom === 0) return true
    const write = this.#writeTime / this.#writtenBytes
    const deflate = this.#deflateTime / this.#deflatedFrom
    const ratio = this.#deflatedTo / this.#deflatedFrom
    return deflate + ratio * write < write
  }

  wrote(bytes: number, time: number): void {
    this.#writtenBytes += bytes
    this.#writeTime += time
  }

  async deflating(run: () => Promise<Uint8Array | undefined>, from: number): Promise<Uint8Array | undefined> {
    const began = performance.now()
    const deflated = await run()
    this.#deflateTime += deflated ? performance.now() - began : Number.POSITIVE_INFINITY
    this.#deflatedFrom += from
    this.#deflatedTo += deflated?.length ?? from
    return deflated
  }
}

/** Reads the bytes of a frame. */
export interface FrameSource {
  readonly length: number
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Reads and checks a frame's header. Returns it with where the state begins. */
export async function readHeader(source: FrameSource): Promise<{ readonly header: FrameHeader; readonly end: number }> {
  if (source.length < headerStart) throw bad('the snapshot has none of this package')
  const start = await source.read(0, headerStart)
  if (!magic.every((byte, index) => byte === start[index])) throw bad('another program has written it')
  const words = new DataView(start.buffer, start.byteOffset + magic.length)
  const [length, sum] = [words.getUint32(0, true), words.getUint32(4, true)]
  if (length > longestHeader || headerStart + length > source.length) throw bad('it is corrupt')
  const text = await source.read(headerStart, length)
  if (checksum(text) !== sum) throw bad('it is corrupt')
  return { header: parseHeader(new TextDecoder().decode(text)), end: headerStart + length }
}

/** Reads and checks a whole state, whose header was checked before. */
export async function readState(
  source: FrameSource,
  { stateLength }: FrameHeader,
  start: number,
): Promise<ArrayBuffer> {
  const state = new Uint8Array(stateLength)
  let at = start
  let filled = 0
  const take = async (length: number) => {
    if (length > source.length - at) throw bad('it is cut off')
    const bytes = await source.read(at, length)
    at += length
    return bytes
  }
  for (;;) {
    const bytes = await take(recordLength)
    const words = new DataView(bytes.buffer, bytes.byteOffset)
    const word = (index: number) => words.getUint32(4 * index, true)
    const [what, length, stored, sum] = [word(0), word(1), word(2), word(3)]
    if (what === kind.end) break
    if (length === 0 || length > segmentLength || length > stateLength - filled || stored > length)
      throw bad('it is corrupt')
    const segment = state.subarray(filled, filled + length)
    if (what === kind.plain && stored === length) segment.set(await take(stored))
    else if (what === kind.deflated) await inflateInto(segment, await take(stored))
    else if (what !== kind.zeros || stored !== 0) throw bad('it is corrupt')
    if (checksum(segment) !== sum) throw bad('it is corrupt')
    filled += length
  }
  if (filled !== stateLength) throw bad('it is cut off')
  return state.buffer
}

async function inflateInto(segment: Uint8Array, stored: Uint8Array): Promise<void> {
  try {
    await inflate(stored, segment)
  } catch (error) {
    throw bad('it is corrupt', error)
  }
}

function encodeHeader(header: FrameHeader): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header))
  const bytes = new Uint8Array(headerStart + text.length)
  bytes.set(magic)
  const words = new DataView(bytes.buffer, magic.length)
  words.setUint32(0, text.length, true)
  words.setUint32(4, checksum(text), true)
  bytes.set(text, headerStart)
  return bytes
}

function parseHeader(text: string): FrameHeader {
  let value: Partial<FrameHeader>
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw bad('it is corrupt', error)
  }
  const { emulator, save, memorySize, stateLength, disks } = value
  const counts = [memorySize, stateLength].every((each) => Number.isSafeInteger(each) && Number(each) >= 0)
  if (emulator !== 'v86' || typeof save !== 'string' || !counts || !Array.isArray(disks)) throw bad('it is corrupt')
  return value as FrameHeader
}

function record(what: number, length: number, stored: number, sum: number): Uint8Array {
  const bytes = new Uint8Array(recordLength)
  const words = new DataView(bytes.buffer)
  for (const [index, word] of [what, length, stored, sum].entries()) words.setUint32(4 * index, word, true)
  return bytes
}

function isZero(bytes: Uint8Array): boolean {
  const whole = bytes.length & ~3
  const aligned = (bytes.byteOffset & 3) === 0 ? bytes : bytes.slice()
  const words = new Int32Array(aligned.buffer, aligned.byteOffset, whole / 4)
  // A loop over words: a callback for each byte takes longer than to save the bytes.
  for (let index = 0; index < words.length; index += 1) if (words[index] !== 0) return false
  return bytes.subarray(whole).every((byte) => byte === 0)
}
