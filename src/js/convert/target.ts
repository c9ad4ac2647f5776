import { Qcow2Error } from '../base/errors.js'
import type { WritableStorage } from '../base/storage/contract.js'
import type { Handle } from '../engine/handle.js'
import { createHere } from '../engine/open.js'
import type { CreateOptions } from '../engine/options/create.js'
import type { PackedClusters } from '../engine/packer.js'
import { createInWorker } from '../worker/open.js'
import type { Packers } from './packers.js'
import { RawFile } from './raw-file.js'

/**
 * What a disk is converted to. A part of it is first prepared, of which several are under way at a time, and then stored, one
 * after the other in the order of the disk, so that the file is written from its start to its end.
 */
export interface ConvertTarget<P> {
  /** Parts begin and end at multiples of it, but for the disk's end; in bytes. */
  readonly grain: number
  /** How many parts are under way at most. */
  readonly width: number
  /** Takes the bytes over. */
  prepare(bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): P | Promise<P>
  store(offset: number, prepared: P, signal: AbortSignal): Promise<void>
  /** Ends it, and makes durable what was stored. */
  close(): Promise<void>
}

/** The grain of holes in a raw file: that of file systems, in bytes. */
const hole = 4096

/** A raw file: the bytes of the disk. */
export async function rawTarget(
  storage: WritableStorage,
  size: number,
  overwrite: boolean,
  signal: AbortSignal | undefined,
): Promise<ConvertTarget<Uint8Array<ArrayBuffer>>> {
  const file = await RawFile.open(storage, signal)
  try {
    const before = await file.size()
    if (before > 0 && !overwrite) throw notEmpty(before)
    await file.truncate(0)
    await file.truncate(size)
  } catch (error) {
    await file.close().catch(() => {})
    throw error
  }
  return {
    grain: hole,
    width: 2,
    prepare: (bytes) => bytes,
    async store(offset, bytes, signal) {
      for (const [start, end] of filled(bytes, hole)) await file.write(offset + start, bytes.slice(start, end), signal)
    },
    close: () => file.close(),
  }
}

/** A qcow2 image with plain clusters. */
export async function plainTarget(
  storage: WritableStorage,
  options: CreateOptions,
  clusterSize: number,
): Promise<ConvertTarget<Uint8Array<ArrayBuffer>>> {
  const image = await create(storage, options)
  return {
    grain: clusterSize,
    width: 2,
    prepare: (bytes) => bytes,
    async store(offset, bytes, signal) {
      for (const [start, end] of filled(bytes, clusterSize)) {
        await image.write('write', BigInt(offset + start), bytes.subarray(start, end), signal)
      }
    },
    close: () => image.close(),
  }
}

/** A qcow2 image with compressed clusters. It ends the packers. */
export async function packedTarget(
  storage: WritableStorage,
  options: CreateOptions,
  clusterSize: number,
  packers: Packers,
): Promise<ConvertTarget<PackedClusters>> {
  const image = await create(storage, options)
  return {
    grain: clusterSize,
    width: packers.width,
    prepare: (bytes, signal) => packers.pack(bytes, signal),
    store: (offset, { lengths, bytes }, signal) =>
      image.run('write_packed', [BigInt(offset), lengths, bytes], { signal }),
    close() {
      packers.end()
      return image.close()
    },
  }
}

function create(storage: WritableStorage, { worker, ...options }: CreateOptions): Promise<Handle> {
  return worker ? createInWorker(storage, options, worker) : createHere(storage, options)
}

/** Where there is something, in runs of `grain` bytes that are not all zeros: their starts and ends. */
function* filled(bytes: Uint8Array<ArrayBuffer>, grain: number): Generator<[number, number], undefined> {
  let start: number | undefined
  for (let at = 0; at < bytes.length; at += grain) {
    const zeros = isZero(bytes.subarray(at, at + grain))
    if (zeros && start !== undefined) yield [start, at]
    start = zeros ? undefined : (start ?? at)
  }
  if (start !== undefined) yield [start, bytes.length]
}

/** Parts of disks are of whole sectors, and begin with one. */
function isZero(bytes: Uint8Array<ArrayBuffer>): boolean {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  for (let at = 0; at < words.length; at += 1) if (words[at] !== 0) return false
  return true
}

function notEmpty(size: number): Qcow2Error {
  return new Qcow2Error('NOT_EMPTY', `The storage is not empty: it has ${size} bytes.`)
}
