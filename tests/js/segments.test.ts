import { describe, expect, it } from 'vitest'
import { join, type Segment, Segments } from '../../src/js/storage/cache/segments.js'
import { Random } from './helpers/random.js'
import { bytesAt } from './helpers/storages.js'

const segment = (start: number, end: number): Segment => ({
  start,
  end,
  bytes: bytesAt(start, end - start),
  users: 0,
  dropped: false,
})
const pairs = (ranges: { start: number; end: number }[]) => ranges.map(({ start, end }) => [start, end])

describe('Segments', () => {
  it('finds what overlaps a range, and what is missing', () => {
    const segments = new Segments(1000)
    segments.add(segment(100, 200))
    segments.add(segment(300, 400))
    segments.add(segment(200, 250))
    expect(pairs(segments.within({ start: 150, end: 310 }))).toEqual([
      [100, 200],
      [200, 250],
      [300, 400],
    ])
    expect(pairs(segments.within({ start: 250, end: 300 }))).toEqual([])
    expect(pairs(segments.gaps({ start: 50, end: 450 }))).toEqual([
      [50, 100],
      [250, 300],
      [400, 450],
    ])
    expect(segments.gaps({ start: 100, end: 250 })).toEqual([])
  })

  it('widens a range up to its neighbours', () => {
    const segments = new Segments(1000)
    segments.add(segment(100, 200))
    segments.add(segment(300, 400))
    expect(segments.widen({ start: 250, end: 260 }, { start: 0, end: 1000 })).toEqual({ start: 200, end: 300 })
    expect(segments.widen({ start: 450, end: 460 }, { start: 440, end: 500 })).toEqual({ start: 440, end: 500 })
    expect(segments.widen({ start: 50, end: 60 }, { start: 40, end: 150 })).toEqual({ start: 40, end: 100 })
  })

  it('drops the least recently used first', () => {
    const segments = new Segments(300)
    const [first, second, third] = [segment(0, 100), segment(100, 200), segment(200, 300)]
    for (const each of [first, second, third]) segments.add(each)
    segments.use([first])
    segments.add(segment(300, 400))
    expect(pairs(segments.within({ start: 0, end: 400 }))).toEqual([
      [0, 100],
      [200, 300],
      [300, 400],
    ])
    expect(segments.size).toBe(300)
  })

  it('drops what a reader has passed before anything else', () => {
    const segments = new Segments(300)
    for (const start of [0, 100, 200]) segments.add(segment(start, start + 100))
    segments.pass({ start: 150, end: 250 })
    segments.add(segment(300, 400))
    expect(segments.gaps({ start: 0, end: 400 })).toEqual([{ start: 100, end: 200 }])
  })

  it('keeps what is on its way, whatever the budget', () => {
    const segments = new Segments(100)
    const coming: Segment = { start: 0, end: 200, bytes: undefined, users: 0, dropped: false }
    segments.add(coming)
    segments.add(segment(200, 300))
    expect(pairs(segments.within({ start: 0, end: 300 }))).toEqual([[0, 200]])
    segments.arrived(coming, bytesAt(0, 200))
    expect(segments.size).toBe(0)
  })

  it('keeps segments in use, and drops them when they are released', () => {
    const segments = new Segments(100)
    segments.add(segment(0, 100))
    const used = segments.within({ start: 0, end: 10 })
    segments.hold(used)
    segments.hold(used)
    segments.add(segment(100, 200))
    expect(pairs(segments.within({ start: 0, end: 200 }))).toEqual([[0, 100]])
    segments.release(used)
    segments.add(segment(200, 300))
    expect(pairs(segments.within({ start: 0, end: 300 }))).toEqual([[0, 100]])
    segments.release(used)
    segments.add(segment(300, 400))
    expect(pairs(segments.within({ start: 0, end: 400 }))).toEqual([[300, 400]])
  })

  it('takes no notice of the release of what was deleted', () => {
    const segments = new Segments(100)
    segments.add(segment(0, 100))
    const used = segments.within({ start: 0, end: 10 })
    segments.hold(used)
    for (const each of used) segments.delete(each)
    segments.release(used)
    expect(segments.size).toBe(0)
    segments.add(segment(0, 100))
    expect(segments.size).toBe(100)
  })

  it('behaves as a set of bytes, whatever is done to it', () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const random = new Random(seed)
      const segments = new Segments(400)
      for (let step = 0; step < 200; step += 1) {
        const start = random.below(1000)
        const range = { start, end: start + 1 + random.below(100) }
        const gaps = segments.gaps(range)
        const covered = segments.within(range)
        const inside = covered.map((each) => Math.min(each.end, range.end) - Math.max(each.start, range.start))
        const missing = gaps.map((each) => each.end - each.start)
        expect([...inside, ...missing].reduce((sum, each) => sum + each, 0)).toBe(range.end - range.start)
        for (const gap of gaps) segments.add(segment(gap.start, gap.end))
        expect(segments.size).toBeLessThanOrEqual(400)
        if (random.below(4) === 0) segments.pass(range)
        const used = segments.within(range)
        segments.hold(used)
        if (random.below(4) > 0) for (const each of used) segments.delete(each)
        segments.release(used)
        const all = segments.within({ start: 0, end: 2000 })
        expect(all.reduce((sum, each) => sum + each.end - each.start, 0)).toBe(segments.size)
        all.reduce((end, each) => {
          expect(each.start).toBeGreaterThanOrEqual(end)
          return each.end
        }, 0)
      }
    }
  })
})

describe('join', () => {
  it('copies nothing where one segment has it all', () => {
    const whole = segment(100, 200)
    const bytes = join([whole], { start: 120, end: 150 })
    expect(bytes).toEqual(bytesAt(120, 30))
    expect(bytes.buffer).toBe(whole.bytes?.buffer)
  })

  it('puts several together', () => {
    const parts = [segment(100, 120), segment(120, 130), segment(130, 200)]
    expect(join(parts, { start: 110, end: 140 })).toEqual(bytesAt(110, 30))
  })
})
