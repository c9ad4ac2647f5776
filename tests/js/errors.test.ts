import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import {
  isQcow2Error,
  memory,
  Qcow2,
  Qcow2Error,
  type Qcow2ErrorCode,
  type Qcow2ErrorDetails,
} from '../../src/js/index.js'

const details: Qcow2ErrorDetails[] = [
  {},
  { offset: 0 },
  { offset: 2 ** 52, depth: 3 },
  { depth: 1, file: { name: 'base.qcow2', format: 'qcow2' } },
  { file: { name: 'a (strange) name?&=%\n "ä".img' } },
  { file: { format: 'raw' } },
]

async function posted(error: Error): Promise<unknown> {
  const { port1, port2 } = new MessageChannel()
  const arrived = new Promise((resolve) => port2.once('message', resolve))
  port1.postMessage(error)
  const message = await arrived
  port1.close()
  return message
}

describe('an error', () => {
  it.each(details)('with %j survives postMessage', async (given) => {
    const error = new Qcow2Error('MISSING_BACKING_FILE', 'The image needs (this\nand) that.', given)
    const clone = await posted(error)
    expect(clone).not.toBeInstanceOf(Qcow2Error)
    const before = JSON.stringify(Object.getOwnPropertyDescriptors(clone as Error))
    expect(isQcow2Error(clone)).toBe(false)
    const restored = Qcow2Error.from(clone)
    expect(restored).toBeInstanceOf(Qcow2Error)
    expect(restored?.name).toBe('Qcow2Error')
    for (const key of ['code', 'reason', 'offset', 'depth', 'file', 'message'] as const) {
      expect(restored?.[key], key).toEqual(error[key])
    }
    expect(String(restored)).toBe(String(error))
    // To look at it does not change it.
    expect(JSON.stringify(Object.getOwnPropertyDescriptors(clone as Error))).toBe(before)
  })

  it('of structuredClone is one again', () => {
    const clone: unknown = structuredClone(
      new Qcow2Error('CLOSED', 'The image is closed.', { cause: new Error('why') }),
    )
    expect(Qcow2Error.from(clone)?.code).toBe('CLOSED')
  })

  it('of which only message and name are left is one again', () => {
    const rest: unknown = Object.assign(new Error('Closed. (qcow2/CLOSED)'), { name: 'Qcow2Error' })
    expect(Qcow2Error.from(rest)?.code).toBe('CLOSED')
  })

  it('of another copy of this package is one', () => {
    const other = Object.assign(new Error('Closed. (qcow2/CLOSED)'), { name: 'Qcow2Error', code: 'CLOSED' })
    expect(isQcow2Error(other) && other.code).toBe('CLOSED')
    expect(Qcow2Error.from(other)).toBe(other)
  })

  it.each([
    undefined,
    null,
    'text (qcow2/CLOSED)',
    5,
    {},
    new Error('The image is closed.'),
    new Error('(qcow2/closed)'),
    { message: 7 },
  ])('is not %s', (value) => {
    expect([isQcow2Error(value), Qcow2Error.from(value)]).toEqual([false, undefined])
  })

  it('describes what it is', () => {
    const cause = new Error('why')
    const error = new Qcow2Error('CORRUPT_HEADER', 'The header is wrong.', { offset: 32, cause })
    expect(error).toBeInstanceOf(Error)
    expect(error.message).toBe('The header is wrong. (qcow2/CORRUPT_HEADER?offset=32)')
    expect([error.code, error.reason, error.offset, error.cause]).toEqual([
      'CORRUPT_HEADER',
      'The header is wrong.',
      32,
      cause,
    ])
    expect('depth' in error).toBe(false)
    expect(error.stack).toContain('Qcow2Error: The header is wrong.')
  })

  it.each([
    ['STORAGE', 'storage'],
    ['QUOTA', 'storage'],
    ['CORRUPT_L2_ENTRY', 'corrupt'],
    ['NOT_QCOW2', 'unsupported'],
    ['UNSUPPORTED_FEATURES', 'unsupported'],
    ['MARKED_CORRUPT', 'misuse'],
    ['MISSING_DATA_FILE', 'misuse'],
    ['INVALID_ARGUMENT', 'misuse'],
    ['WORKER_DIED', 'engine'],
  ] as const)('with code %s is of the kind %s', (code, kind) => {
    expect(new Qcow2Error(code, 'It failed.').kind).toBe(kind)
  })

  it('of the engine is a sentence', async () => {
    const error = await Qcow2.open(memory(new Uint8Array(512))).catch((caught) => caught)
    expect(error.reason).toMatch(/^This is not a qcow2 image.*\.$/)
    expect(error.code).toBe('NOT_QCOW2')
  })
})

it('the documented codes are those that the engine has', () => {
  const root = join(import.meta.dirname, '../..')
  const folder = join(root, 'src/engine/error')
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.rs'))
  const rust = names.map((name) => readFileSync(join(folder, name), 'utf8'))
  const bodies = rust.flatMap((text) => [...text.matchAll(/fn code\(&self\).*?\n {4}\}\n/gs)].map(([body]) => body))
  const codes = new Set(bodies.flatMap((body) => [...body.matchAll(/"([A-Z0-9_]+)"/g)].map((match) => match[1])))
  const face = readFileSync(join(root, 'src/js/base/errors.ts'), 'utf8')
  const documented = new Set([...face.matchAll(/^ {2}\| '([A-Z0-9_]+)'$/gm)].map((match) => match[1]))
  expect(codes.size).toBeGreaterThan(15)
  expect([...codes].filter((code) => !documented.has(code))).toEqual([])
  const own = [
    'STORAGE_CONTRACT',
    'TRUNCATED',
    'NOT_EMPTY',
    'FILE_CHANGED',
    'NO_RANGES',
    'QUOTA',
    'IN_USE',
    'NOT_PERMITTED',
    'WORKER_DIED',
    'WORKER_MISMATCH',
    'NOT_ATTACHED',
    'FAULT_PENDING',
    'BAD_MACHINE_STATE',
    'BUSY',
    'INVALID_ARGUMENT',
    'NOT_SYNC',
    'CLOSED',
    'NOT_IN_READER',
    'LOAD_FAILED',
    'ENGINE_FAILED',
  ]
  expect([...documented].filter((code) => !codes.has(code)).toSorted()).toEqual(own.toSorted())
  // The engine's classes of errors are the kinds of the package.
  for (const kind of ['corrupt', 'unsupported', 'misuse'] as const) {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.startsWith(kind))
    const text = files.filter((name) => name.endsWith('.rs')).map((name) => readFileSync(join(folder, name), 'utf8'))
    const found = text.join('\n').match(/(?<=")[A-Z][A-Z0-9]*_[A-Z0-9_]+(?=")/g) ?? []
    expect(found.length).toBeGreaterThan(5)
    for (const code of found) expect([code, new Qcow2Error(code as Qcow2ErrorCode, '').kind]).toEqual([code, kind])
  }
})
