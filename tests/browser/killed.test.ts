import { afterAll, beforeAll, expect, it } from 'vitest'
import { check, disk } from '../js/helpers/qemu.js'
import { Random } from '../js/helpers/random.js'
import { browserName } from './drivers/chosen.js'
import { StorageLab, type Work } from './storage-lab.js'

const lab = new StorageLab()
const random = new Random(2026)
const size = 4 * 1024 * 1024
const sector = 512

beforeAll(() => lab.start())
afterAll(() => lab.stop())

/** The write with a number: where, and how many sectors, each of which then holds the number. */
function operation(number: number): { offset: number; sectors: number } {
  let state = Math.imul(number, 0x9e3779b1) | 1
  const below = (limit: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
  below(2)
  const sectors = 1 + below(below(4) === 0 ? 256 : 16)
  return { offset: below(8192 - sectors) * 512, sectors }
}

/** How often the browser is killed. */
const kills = Number(process.env.KILLS ?? (browserName === 'chromium' ? 20 : 5))
/** Numbers between two flushes, at most. */
const between = 8
/** Flushes that are not known to the test yet, at most. */
const ahead = 4

const create: Work<[number], void> = async ({ opfs, Qcow2 }, size) => {
  const image = await Qcow2.create(opfs('image', { create: true }), { size, clusterSize: 4096 })
  await image.close()
}

/** Writes and flushes without an end, and tells the server which number was flushed last. */
const write: Work<[string, number, number, number], never> = async ({ opfs, Qcow2 }, source, from, between, ahead) => {
  // biome-ignore lint/security/noGlobalEval: the test's own function, which crosses as text
  const operation: (number: number) => { offset: number; sectors: number } = globalThis.eval(`(${source})`)
  const image = await Qcow2.open(opfs('image'), { writable: true })
  const told: Promise<unknown>[] = []
  for (let number = from; ; number += 1) {
    const { offset, sectors } = operation(number)
    const bytes = new Uint32Array(sectors * 128).fill(number)
    image.writeSync(offset, new Uint8Array(bytes.buffer))
    if (number % between !== 0) continue
    image.flushSync()
    told.push(fetch(`/flushed?${number}`))
    if (told.length > ahead) await told.shift()
  }
}

/** Puts the image to the server as it is. */
const upload: Work<[], void> = async ({ opfs }) => {
  await fetch('/image', { method: 'PUT', body: await opfs.file('image') })
}

/** The numbers that each sector may hold: the last one that was flushed, or one after it. */
function expected(held: number[], next: number, flushed: number, last: number): Set<number>[] {
  const allowed = held.map((number) => new Set([number]))
  for (let number = next; number <= last; number += 1) {
    const { offset, sectors } = operation(number)
    for (let index = offset / sector; index < offset / sector + sectors; index += 1) {
      if (number <= flushed) allowed[index]?.clear()
      allowed[index]?.add(number)
    }
  }
  return allowed
}

/** What the sectors of the disk hold, by QEMU; the image may have leaks, but nothing worse. */
function found(): number[] {
  check(lab.file('image'))
  const bytes = disk(lab.file('image'))
  const numbers = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  return Array.from({ length: size / sector }, (_, index) => {
    const start = index * (sector / 4)
    const number = numbers[start] ?? 0
    expect(numbers.subarray(start, start + sector / 4).every((each) => each === number)).toBe(true)
    return number
  })
}

it(
  'an image holds what was flushed, and is sound, however often the browser is killed',
  async () => {
    await lab.inWorker(create, size)

    let held: number[] = Array(size / sector).fill(0)
    let next = 1
    for (let round = 0; round < kills; round += 1) {
      let flushed = next - 1
      let left = 1 + random.below(60)
      const dead = new Promise<void>((resolve) => {
        lab.listen = (pathname, search) => {
          if (pathname !== '/flushed') return
          flushed = Math.max(flushed, Number(search.slice(1)))
          left -= 1
          if (left === 0) void lab.kill().then(resolve)
        }
      })
      const killed = lab.inWorker(write, String(operation), next, between, ahead).catch((error) => error)
      await dead
      expect(String(await killed)).toMatch(/closed|crashed/i)

      await lab.launch()
      await lab.inWorker(upload)
      const now = found()
      const last = flushed + between * (ahead + 2)
      const allowed = expected(held, next, flushed, last)
      const wrong = now.flatMap((number, index) => (allowed[index]?.has(number) ? [] : [[index, number]]))
      expect(wrong, `round ${round}`).toEqual([])
      held = now
      next = last + 1
    }
  },
  kills * 30_000,
)
