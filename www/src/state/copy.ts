/** Copying the selected bytes to the clipboard. */

import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { ByteSource } from '../engine/protocol'
import { COPY_FORMATS, type CopyFormat, copied } from '../hex/copied'
import { formatCount, formatSize } from '../values/size'
import type { ByteRange } from './selection'

/** More bytes are not copied: editors choke on the text. */
const MOST = 4 * 1024 * 1024

/** What came of the last copy. */
export const copyOutcome = signal<{ tone: 'info' | 'bad'; text: string } | null>(null)

export async function copy(source: ByteSource, { start, end }: ByteRange, format: CopyFormat): Promise<void> {
  const length = Number(end - start)
  try {
    if (length > MOST) throw new Error(`at most ${formatSize(MOST)} go to the clipboard.`)
    const bytes = await engine.read(source, start, length)
    await navigator.clipboard.writeText(copied(bytes, format))
    const count = `${formatCount(length)} ${length === 1 ? 'byte' : 'bytes'}`
    copyOutcome.value = { tone: 'info', text: `Copied ${count} as ${COPY_FORMATS[format]}.` }
  } catch (error) {
    copyOutcome.value = { tone: 'bad', text: `Nothing was copied: ${messageOf(error)}` }
  }
}
