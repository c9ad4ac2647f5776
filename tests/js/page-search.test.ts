import { expect, it } from 'vitest'
import { find } from '../../www/src/engine/find'
import type { ReadableBytes, Span } from '../../www/src/engine/readable-bytes'
import { Matcher } from '../../www/src/search/matcher'
import { type Needle, needleOf, type Query } from '../../www/src/search/needle'

const MIB = 2 ** 20
const { signal } = new AbortController()

function needle(typed: string, query: Partial<Query> = {}): Needle {
  const made = needleOf({ typed, kind: 'text', matchCase: false, ...query })
  if (typeof made === 'string') throw new Error(made)
  return made
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const utf16 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'utf16le'))

/** Bytes of which only some ranges are data. Reading anything else is allowed, and gives zeros. */
class Sparse implements ReadableBytes {
  bytesRead = 0

  constructor(
    readonly size: bigint,
    private readonly pieces: [at: bigint, bytes: Uint8Array][],
  ) {}

  async read(offset: bigint, length: number): Promise<Uint8Array> {
    this.bytesRead += length
    const into = new Uint8Array(length)
    for (const [at, bytes] of this.pieces) {
      const shift = Number(at - offset)
      if (shift >= length || shift + bytes.length <= 0) continue
      into.set(bytes.subarray(Math.max(0, -shift), length - shift), Math.max(0, shift))
    }
    return into
  }

  async *data({ start, end }: Span): AsyncGenerator<Span> {
    for (const [at, bytes] of this.pieces) {
      const last = at + BigInt(bytes.length)
      if (last > start && at < end) yield { start: at > start ? at : start, end: last < end ? last : end }
    }
  }
}

async function findAll(bytes: ReadableBytes, typed: string, backwards: boolean): Promise<bigint[]> {
  const found: bigint[] = []
  let from = backwards ? bytes.size : 0n
  for (;;) {
    const { match, wrapped } = await find(bytes, needle(typed), from, { backwards, signal, onProgress: () => {} })
    if (!match || wrapped) return found
    found.push(match.offset)
    from = backwards ? match.offset : match.offset + 1n
  }
}

it('text matches in UTF-8 and UTF-16, in any case unless it matters', () => {
  const matches = (query: Partial<Query>, bytes: Uint8Array) =>
    new Matcher(needle('Grüße', query)).next(bytes, 0, bytes.length)?.length ?? 0
  expect(matches({}, utf8('grüßE'))).toBe(7)
  expect(matches({}, utf16('GRÜßE'))).toBe(10)
  expect(matches({}, utf8('GRÜSSE'))).toBe(7)
  expect(matches({ matchCase: true }, utf8('grüße'))).toBe(0)
  expect(matches({ kind: 'utf-8' }, utf16('Grüße'))).toBe(0)
})

it('hexadecimal digits match bytes, and question marks match any', () => {
  const bytes = Uint8Array.of(1, 0x51, 0x46, 0x49, 0xfb)
  const match = (typed: string) => new Matcher(needle(typed, { kind: 'hex' })).next(bytes, 0, bytes.length)
  expect(match('5146')).toEqual({ at: 1, length: 2 })
  expect(match('0x46, 0x49')).toEqual({ at: 2, length: 2 })
  expect(match('?? 49')).toEqual({ at: 2, length: 2 })
  expect(match('fb ??')).toBeNull()
  for (const wrong of ['5', 'xyz', '??']) {
    expect(needleOf({ typed: wrong, kind: 'hex', matchCase: false })).toMatch(/^Write/)
  }
})

it('both directions find the same, across chunks and at the edges of what is allocated', async () => {
  const size = 64n * BigInt(MIB)
  const chunk = new Uint8Array(3 * MIB)
  for (const at of [0, 17, MIB - 3, 2 * MIB - 1, chunk.length - 6]) chunk.set(utf8('needle'), at)
  const half = utf8('nee')
  const pieces: [bigint, Uint8Array][] = [
    [5n * BigInt(MIB), chunk],
    // One that begins in a range of data and ends in the next one.
    [40n * BigInt(MIB) - 3n, half],
    [40n * BigInt(MIB), utf8('dle')],
    [size - 6n, utf8('needle')],
  ]
  const bytes = new Sparse(size, pieces)
  const wanted = [5 * MIB, 5 * MIB + 17, 6 * MIB - 3, 7 * MIB - 1, 8 * MIB - 6, 40 * MIB - 3, 64 * MIB - 6].map(BigInt)
  expect(await findAll(bytes, 'needle', false)).toEqual(wanted)
  expect(await findAll(bytes, 'needle', true)).toEqual(wanted.reverse())
})

it('a match may reach out of what is allocated', async () => {
  const bytes = new Sparse(1n << 30n, [[1n << 20n, Uint8Array.of(7)]])
  const options = { backwards: false, signal, onProgress: () => {} }
  const found = async (typed: string) => (await find(bytes, needle(typed, { kind: 'hex' }), 0n, options)).match?.offset
  expect(await found('00 00 07')).toBe((1n << 20n) - 2n)
  expect(await found('07 00 00')).toBe(1n << 20n)
})

it('what is not allocated is not read, however large it is', async () => {
  const size = 2n ** 61n
  const bytes = new Sparse(size, [[size / 2n, utf8('needle')]])
  const options = { signal, onProgress: () => {} }
  const first = await find(bytes, needle('needle'), size - 1n, { ...options, backwards: true })
  expect(first.match?.offset).toBe(size / 2n)
  const wrapped = await find(bytes, needle('needle'), size - 1n, { ...options, backwards: false })
  expect(wrapped).toMatchObject({ wrapped: true, match: { offset: size / 2n } })
  expect(bytes.bytesRead).toBeLessThan(4 * MIB)
})

it('what cannot be read is left out and counted', async () => {
  const bytes = new Sparse(4n * BigInt(MIB), [[0n, new Uint8Array(4 * MIB)]])
  const damaged: ReadableBytes = {
    size: bytes.size,
    data: (span) => bytes.data(span),
    read: async (offset, length) => {
      if (offset < 131_072n && offset + BigInt(length) > 65_536n) throw new Error('damaged')
      const part = await bytes.read(offset, length)
      if (offset <= 131_072n && offset + BigInt(length) > 131_078n) part.set(utf8('needle'), Number(131_072n - offset))
      return part
    },
  }
  const found = await find(damaged, needle('needle'), 0n, { backwards: false, signal, onProgress: () => {} })
  expect(found).toMatchObject({ match: { offset: 131_072n }, unreadable: 65_536 })
})

it('a search that is cancelled ends', async () => {
  const controller = new AbortController()
  const bytes = new Sparse(1n << 30n, [[0n, new Uint8Array(4 * MIB)]])
  const onProgress = () => controller.abort()
  const search = find(bytes, needle('needle'), 0n, { backwards: false, signal: controller.signal, onProgress })
  await expect(search).rejects.toThrow('abort')
})
