import { formatOffset } from '../values/offset'
import { type Block, type Byte, byteIn } from './blocks'
import { printable } from './decode'

/** What a row shows. Equal values look the same, so that a row is drawn anew only where one of them differs. */
export interface RowLook {
  start: bigint
  /** How many bytes the row has, and how many there is room for. */
  count: number
  columns: number
  digits: number
  /** `null` until it has arrived. */
  block: Block | null
  /** Where the row begins in its block. */
  within: number
  /** Grows when bytes of the block are changed. */
  version: number
  /** The columns that are selected, from the first to before the last. */
  from: number
  to: number
  /** The column where the keyboard is; -1 if it is elsewhere. */
  cursor: number
  /** The first digit that was typed of the byte there. */
  digit: number | null
  /** The offsets that were changed and not saved yet. */
  changed: ReadonlySet<bigint>
}

export function sameLook(one: RowLook, other: RowLook): boolean {
  return (Object.keys(one) as (keyof RowLook)[]).every((key) => one[key] === other[key])
}

/** One row: its offset, its bytes, its text. Zeros are dimmed, since they are most of any disk. */
export function Row(look: RowLook) {
  const { start, count, digits } = look
  const bytes = Array.from({ length: count }, (_, column) => byteIn(look.block, look.within + column))
  const reason = bytes[0]
  const offset = (
    <span class="hex-offset" role="rowheader">
      {formatOffset(start, digits).slice(2)}
    </span>
  )
  if (typeof reason === 'string' && bytes.every((byte) => typeof byte === 'string')) {
    return (
      <div class="hex-row" role="row">
        {offset}
        <span class="unreadable" role="gridcell" id={`byte-${start}`} data-at={String(start)}>
          can’t be read: {reason}
        </span>
      </div>
    )
  }
  const classes = bytes.map((byte, column) => className(byte, column, look))
  return (
    <div class="hex-row" role="row">
      {offset}
      <span class="hex-bytes" role="presentation">
        {bytes.map((byte, column) => {
          const at = start + BigInt(column)
          return (
            <span
              key={column}
              role="gridcell"
              id={`byte-${at}`}
              data-at={String(at)}
              class={classes[column]}
              aria-selected={column >= look.from && column < look.to}
            >
              {look.digit !== null && column === look.cursor ? `${look.digit.toString(16)}_` : digitsOf(byte)}
            </span>
          )
        })}
      </span>
      <span class="hex-text" aria-hidden="true">
        {runsOf(classes).map(({ from, to }) => (
          <span key={from} data-at={String(start + BigInt(from))} data-length={to - from} class={classes[from]}>
            {bytes
              .slice(from, to)
              .map((byte) => (typeof byte === 'number' ? printable(byte) : ' '))
              .join('')}
          </span>
        ))}
      </span>
    </div>
  )
}

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

const digitsOf = (byte: Byte): string => (typeof byte === 'number' ? (DIGITS[byte] ?? '') : byte === null ? '  ' : '??')

function className(byte: Byte, column: number, { start, from, to, cursor, changed }: RowLook): string {
  const isChanged = changed.size > 0 && changed.has(start + BigInt(column))
  const kind = isChanged ? 'changed' : byte === 0 ? 'zero-byte' : typeof byte === 'string' ? 'bad-byte' : ''
  const marked = column >= from && column < to && column !== cursor ? ' marked' : ''
  return column === cursor ? `${kind} selected` : `${kind}${marked}`
}

/** Neighbours that look the same are one element: a screen has thousands of characters. */
function runsOf(classes: readonly string[]): { from: number; to: number }[] {
  const runs: { from: number; to: number }[] = []
  classes.forEach((each, column) => {
    const last = runs.at(-1)
    if (last && classes[last.from] === each) last.to = column + 1
    else runs.push({ from: column, to: column + 1 })
  })
  return runs
}
