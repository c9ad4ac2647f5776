import { memory, type WritableSyncStorage } from '../../../src/js/index.js'
import type { Random } from './random.js'

/** The bytes of a file. */
export const of = (files: readonly Uint8Array[], file: number) => files[file] ?? new Uint8Array()
const writable = (bytes: Uint8Array = new Uint8Array()) => memory(bytes)

/** What a machine's storage was asked to do, in order, over all its files. */
export type Entry = { readonly file: number; readonly write?: readonly [number, Uint8Array]; readonly size?: number }

/** Files whose writes are recorded, so that a crash can be simulated after each of them. */
export class Machine {
  readonly log: (Entry | 'flush')[] = []

  constructor(readonly files: Uint8Array[]) {}

  /** A file to be opened; what it is asked is recorded. */
  open(file: number): WritableSyncStorage {
    const storage = writable(this.files[file])
    return {
      size: () => storage.size(),
      readSync: (offset, into) => storage.readSync(offset, into),
      writeSync: (offset, bytes) => {
        this.log.push({ file, write: [offset, bytes.slice()] })
        storage.writeSync(offset, bytes)
      },
      truncateSync: (size) => {
        this.log.push({ file, size })
        storage.truncateSync(size)
      },
      flushSync: () => {
        this.log.push('flush')
      },
      close: () => {
        this.files[file] = storage.bytes().slice()
      },
    }
  }
}

/** The files after a crash: everything that was flushed, and each later write or not. */
export function crashed(
  files: readonly Uint8Array[],
  log: readonly (Entry | 'flush')[],
  cut: number,
  random: Random,
): Uint8Array[] {
  const flushed = log.lastIndexOf('flush', cut - 1)
  const states = files.map((bytes) => writable(bytes.slice()))
  log.slice(0, cut).forEach((entry, index) => {
    if (entry === 'flush' || (index > flushed && random.below(2) === 0)) return
    const state = states[entry.file]
    if (entry.size !== undefined) state?.truncateSync(entry.size)
    else if (entry.write) {
      const [offset, bytes] = entry.write
      if (state && state.size() < offset) state.truncateSync(offset)
      state?.writeSync(offset, bytes)
    }
  })
  return states.map((state) => state.bytes().slice())
}
