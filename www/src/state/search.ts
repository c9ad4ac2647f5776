/** Searching the bytes that the hex view shows. */

import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import type { ByteSource } from '../engine/protocol'
import { needleOf, type Query } from '../search/needle'
import { formatOffset } from '../values/offset'
import { formatSize } from '../values/size'
import { selectBetween, selection } from './selection'
import { forgetWork, isRunning, type Work, work } from './work'

/** True while the search bar is open. */
export const searches = signal(false)

export const query = signal<Query>({ typed: '', kind: 'text', matchCase: false })

/** The search that is under way, or what came of it. */
export const searching = signal<Work | null>(null)

/** The offset of the last match of the query. */
let lastMatch: bigint | null = null

/** Searches for something else. */
export function changeQuery(change: Partial<Query>): void {
  query.value = { ...query.peek(), ...change }
  lastMatch = null
  forgetWork(searching)
}

/** Searches from the selection on, and selects the match. */
export async function searchOn(source: ByteSource, backwards: boolean): Promise<void> {
  if (isRunning(searching.peek())) return
  const { typed } = query.peek()
  if (typed === '') return
  const needle = needleOf(query.peek())
  if (typeof needle === 'string') {
    searching.value = { problem: needle }
    return
  }
  const { start } = selection.peek()
  const from = backwards || start !== lastMatch ? start : start + 1n
  await work(searching, 'Searching', async (signal, onProgress) => {
    const { match, wrapped, unreadable } = await engine.find(source, needle, from, backwards, onProgress, signal)
    const unread = unreadable > 0 ? ` ${formatSize(unreadable)} could not be read.` : ''
    if (!match) return `Not found.${unread}`
    lastMatch = match.offset
    selectBetween(match.offset + BigInt(match.length - 1), match.offset)
    const end = backwards ? 'from the end' : 'from the start'
    return `Found at ${formatOffset(match.offset)}${wrapped ? `, going on ${end}` : ''}.${unread}`
  })
}

/** Closes the search bar; what is under way is cancelled. */
export function endSearch(): void {
  forgetWork(searching)
  searches.value = false
}
