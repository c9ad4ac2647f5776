import { type ByteCount, byteCount, bytesIn, optionsIn, within } from '../base/arguments.js'
import type { RangeOptions } from './extent.js'

/** The range of a disk of `size` bytes that the options give. Default: all of it. */
export function rangeOf(options: RangeOptions, size: number): { offset: ByteCount; length: number } {
  const { offset = 0, length } = optionsIn(options)
  const start = byteCount(offset, 'offset')
  const count = length === undefined ? undefined : byteCount(length, 'length')
  within(start, count ?? 0, size)
  const rest = typeof start === 'bigint' ? Number(BigInt(size) - start) : size - start
  return { offset: start, length: count === undefined ? rest : Number(count) }
}

/** The length of a read, if it is within a disk of `size` bytes. */
export function lengthWithin(offset: ByteCount, length: ByteCount, size: number): number {
  byteCount(offset, 'The offset')
  byteCount(length, 'The length')
  within(offset, length, size)
  return Number(length)
}

/** The bytes that a read fills or a write stores, if their range is within a disk of `size` bytes. */
export function bytesWithin(offset: ByteCount, bytes: ArrayBuffer | ArrayBufferView, size: number): Uint8Array {
  byteCount(offset, 'The offset')
  const array = bytesIn(bytes, 'The second argument')
  within(offset, array.length, size)
  return array
}

/** A range of a disk of `size` bytes, as the engine takes it. */
export function rangeWithin(offset: ByteCount, length: ByteCount, size: number): [bigint, bigint] {
  const [start, count] = [byteCount(offset, 'The offset'), byteCount(length, 'The length')]
  within(start, count, size)
  return [BigInt(start), BigInt(count)]
}
