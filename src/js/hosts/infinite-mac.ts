/**
 * A qcow2 image as a disk of Infinite Mac, inside its worker.
 *
 * @packageDocumentation
 */

import { bytesIn, callback, integer, optionsIn, text } from '../base/arguments.js'
import type { Qcow2 } from '../index.js'
import { DelayedFlush, delay, reportUncaught } from './delayed-flush.js'
import { syncImage } from './sync-image.js'

/** How {@link infiniteMacDisk} flushes. */
export interface InfiniteMacOptions {
  /** How long after a write the disk flushes the image, in milliseconds. Default: 1000. */
  readonly flushDelay?: number | undefined
  /** Called with what a flush of the disk's own throws. Without it, the error is reported as uncaught. */
  readonly onError?: ((error: unknown) => void) | undefined
}

/** A disk as Infinite Mac's worker takes it (`EmulatorWorkerDisk`). */
export interface InfiniteMacDisk {
  /** The name under which the emulator opens the disk. */
  readonly name: string
  /** The size in bytes. */
  readonly size: number
  /**
   * Reads into `buffer`, and returns how many bytes the disk had there.
   *
   * @throws `Qcow2Error` what `image.readSync` throws.
   */
  read(buffer: Uint8Array, offset: number, length: number): number
  /**
   * Writes from `buffer`, and returns how many bytes the disk took.
   *
   * @throws `Qcow2Error` what `image.writeSync` throws.
   */
  write(buffer: Uint8Array, offset: number, length: number): number
  /**
   * Makes durable what was written, and stops the timer. Call it before the image is closed.
   *
   * @throws `Qcow2Error` what `image.flushSync` throws.
   */
  close(): void
}

/**
 * Makes a disk for Infinite Mac out of an image. The emulator does not flush its disks, so the disk does it by itself.
 *
 * @param name the name under which the emulator opens it.
 * @throws `Qcow2Error` `NOT_SYNC` for an image that can't be read synchronously: open it in the worker, over storages that are
 * synchronous there.
 *
 * @example
 * ```ts
 * const image = await Qcow2.open(opfs('mac.qcow2'), { writable: true }) // in the emulator's worker
 * disks.push(infiniteMacDisk('Macintosh HD', image))
 * ```
 */
export function infiniteMacDisk(name: string, image: Qcow2, options: InfiniteMacOptions = {}): InfiniteMacDisk {
  text(name, 'The name')
  syncImage(image, 'Infinite Mac reads its disks')
  const flushDelay = delay(optionsIn(options).flushDelay)
  const onError = callback(options.onError, 'onError') ?? reportUncaught
  /** The part of `buffer` that a request is about: the disk may end before. */
  const partOf = (buffer: Uint8Array, offset: number, length: number): Uint8Array => {
    const end = Math.min(integer(length, 'length'), image.size - integer(offset, 'offset'))
    return bytesIn(buffer, 'The buffer').subarray(0, Math.max(0, end))
  }
  const flush = new DelayedFlush(image, flushDelay, onError)
  return {
    name,
    get size() {
      return image.size
    },
    read(buffer, offset, length) {
      const part = partOf(buffer, offset, length)
      if (part.length > 0) image.readIntoSync(offset, part)
      return part.length
    },
    write(buffer, offset, length) {
      const part = partOf(buffer, offset, length)
      if (part.length > 0) image.writeSync(offset, part)
      flush.written()
      return part.length
    },
    close: () => flush.now(),
  }
}
