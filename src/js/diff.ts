import { batches, type WalkOptions } from './batches.js'
import type { Tasks } from './tasks.js'
import type { WasmDiff } from './wasm.js'

/** A part of the disk that may differ between two of its states. */
export interface DiffExtent {
  /** Where it begins on the disk, in bytes. */
  readonly start: number
  /** Its length in bytes. */
  readonly length: number
}

/** Walks what `diff` walks, a batch at a time. */
export async function* diffExtents(
  diff: WasmDiff,
  total: number,
  tasks: Tasks,
  options: WalkOptions,
): AsyncGenerator<DiffExtent> {
  for await (const numbers of batches(diff, total, tasks, options)) {
    for (let at = 0; at < numbers.length; at += 2) yield { start: numbers[at] ?? 0, length: numbers[at + 1] ?? 0 }
  }
}
