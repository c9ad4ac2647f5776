import { expect, it } from 'vitest'
import { SequentialReaders } from '../../src/js/storage/cache/sequential.js'
import { Random } from './helpers/random.js'

const KiB = 1024
const MiB = 1024 * KiB

/** Goes through a file, and returns how much each request leads to ahead of it. */
function ahead(readers: SequentialReaders, starts: number[], length: number): number[] {
  return starts.map((start) => {
    const { ahead } = readers.request({ start, end: start + length })
    return ahead.end - ahead.start
  })
}

it('fetches nothing ahead of the first request', () => {
  expect(ahead(new SequentialReaders({ window: 4 * MiB }), [0], 4096)).toEqual([0])
})

it('fetches nothing ahead of random requests', () => {
  const random = new Random(1)
  const starts = Array.from({ length: 1000 }, () => random.below(2 ** 31))
  const amounts = ahead(new SequentialReaders({ window: 4 * MiB }), starts, 4096)
  // One that comes next to another by chance may.
  expect(amounts.filter((amount) => amount > 0).length).toBeLessThan(5)
})

it('fetches windows that double, each when less than one is left', () => {
  const starts = Array.from({ length: 40 }, (_, index) => index * 64 * KiB)
  const amounts = ahead(new SequentialReaders({ window: 1 * MiB }), starts, 64 * KiB).map((amount) => amount / KiB)
  expect(amounts.slice(0, 9)).toEqual([0, 128, 256, 0, 512, 0, 0, 0, 1024])
  expect(Math.max(...amounts)).toBe(1024)
})

it('never lets a steady reader come to the end of what was fetched ahead', () => {
  const readers = new SequentialReaders({ window: 4 * MiB })
  let end = 0
  for (let start = 0; start < 100 * MiB; start += 256 * KiB) {
    if (start > 4 * MiB) expect(end - start).toBeGreaterThanOrEqual(4 * MiB)
    end = readers.request({ start, end: start + 256 * KiB }).ahead.end
  }
})

it('follows a reader across small holes', () => {
  const amounts = ahead(new SequentialReaders({ window: 4 * MiB }), [0, 96 * KiB, 192 * KiB], 32 * KiB)
  expect(amounts[1]).toBeGreaterThan(0)
})

it('distinguishes several readers', () => {
  const readers = new SequentialReaders({ window: 4 * MiB })
  for (let step = 0; step < 4; step += 1) {
    for (let reader = 0; reader < 8; reader += 1) {
      const start = reader * 100 * MiB + step * 64 * KiB
      const { ahead } = readers.request({ start, end: start + 64 * KiB })
      expect(Math.floor(ahead.start / (100 * MiB))).toBe(reader)
      if (step > 0) expect(ahead.end).toBeGreaterThan(start + 64 * KiB)
    }
  }
})

it('fetches nothing ahead of a request that is repeated', () => {
  expect(ahead(new SequentialReaders({ window: 4 * MiB }), [0, 0, 0], 4096)).toEqual([0, 0, 0])
})

it('reports what the reader has passed', () => {
  const readers = new SequentialReaders({ window: 4 * MiB })
  readers.request({ start: 0, end: 100 })
  expect(readers.request({ start: 100, end: 200 }).passed).toEqual({ start: 0, end: 100 })
  expect(readers.request({ start: 250, end: 300 }).passed).toEqual({ start: 100, end: 250 })
})

it('fetches nothing ahead where the window is 0', () => {
  expect(ahead(new SequentialReaders({ window: 0 }), [0, 100, 200], 100)).toEqual([0, 0, 0])
})

it('shares one window among the readers that have something ahead, where they have one together', () => {
  const readers = new SequentialReaders({ window: 1 * MiB, together: true })
  const run = (start: number) => {
    for (let step = 0; step < 50; step += 1) {
      const { ahead } = readers.request({ start: start + step * 64 * KiB, end: start + (step + 1) * 64 * KiB })
      if (step > 40 && ahead.end > ahead.start) return (ahead.end - ahead.start) / KiB
    }
    return 0
  }
  expect(run(0)).toBe(1024)
  expect(run(100 * MiB)).toBe(512)
})

it('tracks the most recent readers, and reports which one it drops', () => {
  const readers = new SequentialReaders({ window: 1 * MiB, readers: 2 })
  const [first, second, third] = [0, 1, 2].map((at) => readers.request({ start: at * MiB, end: at * MiB + 1 }))
  expect([first?.dropped, second?.dropped, third?.dropped]).toEqual([undefined, undefined, first?.reader])
})

it('fetches nothing ahead of a reader that was forgotten, until it reads on', () => {
  const readers = new SequentialReaders({ window: 1 * MiB })
  readers.forget(readers.request({ start: 0, end: 100 }).reader)
  expect(ahead(readers, [100, 200], 100).map((amount) => amount > 0)).toEqual([false, true])
})

it('follows no reader across a hole that is larger than it may skip', () => {
  expect(ahead(new SequentialReaders({ window: 1 * MiB, skip: 0 }), [0, 101, 201], 100)).toEqual([0, 0, 64 * KiB])
})
