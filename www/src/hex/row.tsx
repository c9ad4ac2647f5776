import { formatOffset } from '../values/offset'
import type { Blocks } from './blocks'
import { printable } from './decode'
import type { Typing } from './typing'

interface Props {
  start: bigint
  columns: number
  digits: number
  selected: bigint
  size: number
  blocks: Blocks
  /** The offsets that were changed and not saved yet. */
  changed: ReadonlySet<bigint>
  typing: Typing
}

/** One row: its offset, its bytes, its text. Zeros are dimmed, since they are most of any disk. */
export function Row({ start, columns, digits, selected, size, blocks, changed, typing }: Props) {
  const offsets = Array.from({ length: columns }, (_, column) => start + BigInt(column)).filter(
    (at) => at < BigInt(size),
  )
  const digit = typing.digit(selected)
  const look = (at: bigint, byte: number | string | null) => className(byte, at === selected, changed.has(at))
  const bytes = offsets.map((at) => blocks.byte(at))
  const reason = bytes.find((byte) => typeof byte === 'string')
  if (reason !== undefined && bytes.every((byte) => typeof byte === 'string')) {
    return (
      <div class="hex-row" role="row">
        <Offset start={start} digits={digits} />
        <span class="unreadable" role="gridcell" id={`byte-${start}`} data-at={String(start)}>
          can’t be read: {reason}
        </span>
      </div>
    )
  }
  return (
    <div class="hex-row" role="row">
      <Offset start={start} digits={digits} />
      <span class="hex-bytes" role="presentation">
        {offsets.map((at, column) => {
          const byte = bytes[column] ?? null
          const known = typeof byte === 'number'
          return (
            <span
              key={column}
              role="gridcell"
              id={`byte-${at}`}
              data-at={String(at)}
              class={look(at, byte)}
              aria-selected={at === selected}
            >
              {digit !== null && at === selected
                ? `${digit.toString(16)}_`
                : known
                  ? byte.toString(16).padStart(2, '0')
                  : byte === null
                    ? '  '
                    : '??'}
            </span>
          )
        })}
      </span>
      <span class="hex-text" aria-hidden="true">
        {offsets.map((at, column) => {
          const byte = bytes[column] ?? null
          return (
            <span key={column} data-at={String(at)} class={look(at, byte)}>
              {typeof byte === 'number' ? printable(byte) : ' '}
            </span>
          )
        })}
      </span>
    </div>
  )
}

function Offset({ start, digits }: { start: bigint; digits: number }) {
  return (
    <span class="hex-offset" role="rowheader">
      {formatOffset(start, digits).slice(2)}
    </span>
  )
}

function className(byte: number | string | null, selected: boolean, changed: boolean): string {
  const kind = changed ? 'changed' : byte === 0 ? 'zero-byte' : typeof byte === 'string' ? 'bad-byte' : ''
  return selected ? `${kind} selected` : kind
}
