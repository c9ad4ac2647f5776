import { expect, it } from 'vitest'
import { offsetAt, scaled, shareOf } from '../../www/src/strip/scale'

const MIB = 2 ** 20
const disk = [
  { start: 0, length: MIB, named: false },
  { start: MIB, length: 100 * MIB, named: true },
  { start: 101 * MIB, length: 16 * MIB, named: true },
  { start: 117 * MIB, length: 100_000 * MIB, named: true },
]

it('small partitions are drawn as wide as their names need, and the rest in proportion', () => {
  const parts = scaled(disk, 0.1)
  expect(parts[1]?.width).toBeCloseTo(0.1)
  expect(parts[2]?.width).toBeCloseTo(0.1)
  expect(parts[3]?.width).toBeCloseTo(0.8, 4)
  expect(parts.reduce((sum, { width }) => sum + width, 0)).toBeCloseTo(1)
})

it('many partitions share the room that there is', () => {
  const many = Array.from({ length: 40 }, (_, index) => ({ start: index, length: index === 0 ? 1000 : 1, named: true }))
  const parts = scaled(many, 0.1)
  expect(parts.reduce((sum, { width }) => sum + width, 0)).toBeCloseTo(1)
  expect(Math.min(...parts.map(({ width }) => width))).toBeGreaterThan(0.017)
})

it('an offset is drawn where a click leads back to it', () => {
  const parts = scaled(disk, 0.1)
  for (const offset of [0, MIB, 50 * MIB, 110 * MIB, 5000 * MIB]) {
    expect(Math.abs(offsetAt(parts, shareOf(parts, offset) + 1e-12) - offset)).toBeLessThan(MIB)
  }
  expect(shareOf(parts, 101 * MIB)).toBeCloseTo(parts[2]?.left ?? 0)
})
