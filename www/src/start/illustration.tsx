import type { Kind } from '../engine/protocol'

/** A small disk as the cluster map shows one: `.` unallocated, `z` zero, `d` data, `c` compressed. */
const ROWS = [
  'dddd..dddddddddd....zzzz....cccccccc........dd..',
  'dddddddddddd........zz......cccccccccc..........',
  'dd....dddd..................cccc......d.........',
  '....d.......zz..................................',
]
const LETTERS: Record<string, Kind> = { '.': 'unallocated', z: 'zero', d: 'data', c: 'compressed' }
const STEP = 20
const CELL = 17

export function Illustration() {
  const cells = ROWS.flatMap((row, y) =>
    [...row].map((letter, x) => (
      <rect
        key={`${x} ${y}`}
        class={`cell fill-${LETTERS[letter]}`}
        x={x * STEP}
        y={y * STEP}
        width={CELL}
        height={CELL}
      />
    )),
  )
  return (
    <svg class="illustration" viewBox={`0 0 ${48 * STEP - 3} ${ROWS.length * STEP - 3}`} aria-hidden="true">
      {cells}
    </svg>
  )
}
