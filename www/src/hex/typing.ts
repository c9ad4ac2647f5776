import { useSignal } from '@preact/signals'
import { useState } from 'preact/hooks'
import { redo, undo, writeByte } from '../state/edit'

/** What typing changes: two hexadecimal digits make a byte; or each letter is one. */
export type Column = 'hex' | 'text'

export interface Typing {
  column: Column
  /** The first digit of the byte at `at`, while the second is awaited. */
  digit(at: bigint): number | null
  /** Goes on in the other column. */
  into(column: Column): void
  /** Takes a key; false if it means nothing here. */
  onKeyDown(event: KeyboardEvent): boolean
}

interface Options {
  edit: boolean
  size: number
  /** The selected byte, now: keys may come faster than the view is drawn. */
  at(): bigint
  onMove(to: bigint): void
}

/** Changing bytes by typing over them. */
export function useTyping({ edit, size, at: selected, onMove }: Options): Typing {
  const [column, setColumn] = useState<Column>('hex')
  const first = useSignal<{ at: bigint; digit: number } | null>(null)
  // A byte of which one digit was typed stays as it was when one moves on.
  const digitAt = (at: bigint) => (edit && first.value?.at === at ? first.value.digit : null)

  const write = (at: bigint, byte: number) => {
    first.value = null
    if (writeByte(at, byte) && at < BigInt(size) - 1n) onMove(at + 1n)
  }

  const onKeyDown = (event: KeyboardEvent): boolean => {
    if (!edit || event.altKey) return false
    const at = selected()
    const digit = digitAt(at)
    if (event.ctrlKey || event.metaKey) {
      const key = event.key.toLowerCase()
      const again = key === 'y' || (key === 'z' && event.shiftKey)
      if (key !== 'z' && !again) return false
      const where = again ? redo() : undo()
      if (where !== null) onMove(where)
      return true
    }
    if (event.key === 'Insert' || event.key === 'F2') {
      setColumn(column === 'hex' ? 'text' : 'hex')
      return true
    }
    if (event.key === 'Escape' && digit !== null) {
      first.value = null
      return true
    }
    if (event.key === 'Backspace') {
      if (digit !== null) first.value = null
      else if (at > 0n) onMove(at - 1n)
      return true
    }
    if (column === 'text') {
      const byte = event.key.length === 1 ? (event.key.codePointAt(0) ?? 0) : 0
      if (byte < 0x20 || byte > 0x7e) return false
      write(at, byte)
      return true
    }
    if (!/^[\da-f]$/i.test(event.key)) return false
    const value = Number.parseInt(event.key, 16)
    if (digit === null) first.value = { at, digit: value }
    else write(at, digit * 16 + value)
    return true
  }

  return { column, digit: digitAt, into: setColumn, onKeyDown }
}
