/** The bytes that are selected in the hex view: those between where the selection began and where the page is. */

import { computed, signal } from '@preact/signals'
import { go, route } from './route'

/** A range of bytes. */
export interface ByteRange {
  start: bigint
  /** The byte after the last one. */
  end: bigint
}

/** Where the selection began. It stays until the page shows something else. */
const began = signal<{ anchor: bigint; at: bigint; of: string; snapshot: string | null } | null>(null)

const anchor = computed(() => {
  const { at, of, snapshot } = route.value
  const now = began.value
  return now && now.at === at && now.of === of && now.snapshot === snapshot ? now.anchor : at
})

/** The bytes that are selected, one at least. */
export const selection = computed<ByteRange>(() => {
  const { at } = route.value
  return anchor.value < at ? { start: anchor.value, end: at + 1n } : { start: at, end: anchor.value + 1n }
})

/** Selects from where the selection began to `at`. */
export const extendTo = (at: bigint): void => selectBetween(anchor.peek(), at)

/** Selects two bytes and those between them, and goes to `at`. */
export function selectBetween(from: bigint, at: bigint): void {
  const { of, snapshot } = route.peek()
  began.value = { anchor: from, at, of, snapshot }
  go({ at })
}
