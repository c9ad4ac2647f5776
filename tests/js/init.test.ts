import { readFileSync } from 'node:fs'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { ModuleSource } from '../../src/js/index.js'
import { convert } from './helpers/qemu.js'

const wasm = new URL('../../src/js/generated/qcow2_web_bg.wasm', import.meta.url)
const image = readFileSync(convert('image.qcow2', new Uint8Array(1000).fill(1)))

/** The package as a program gets it that has just started: the module is not loaded. */
const fresh = () => import('../../src/js/index.js')

beforeEach(() => {
  vi.resetModules()
})

describe('init()', () => {
  it('is done by the first call that needs it', async () => {
    const { Qcow2, memory } = await fresh()
    const opened = await Promise.all([Qcow2.open(memory(image)), Qcow2.open(memory(image))])
    expect(opened.map((each) => each.readSync(0, 1)[0])).toEqual([1, 1])
  })

  it.each<[string, () => ModuleSource | Promise<ModuleSource>]>([
    ['bytes', () => readFileSync(wasm)],
    ['a promise of bytes', async () => readFileSync(wasm)],
    ['a compiled module', () => new WebAssembly.Module(readFileSync(wasm))],
    ['an answer', () => new Response(readFileSync(wasm), { headers: { 'content-type': 'application/wasm' } })],
    ['the URL of a file', () => wasm],
    ['the URL of a file as text', () => wasm.href],
  ])('takes the module as %s', async (_, source) => {
    const { configure, Qcow2, memory } = await fresh()
    configure({ wasm: source() })
    expect((await Qcow2.open(memory(image))).size).toBe(1024)
  })

  it('loads once, for all callers, whatever is configured later', async () => {
    const { configure, init, Qcow2, memory } = await fresh()
    const source = vi.fn(() => readFileSync(wasm))
    configure({ wasm: source })
    const first = init()
    expect(init()).toBe(first)
    await first
    configure({ wasm: new Uint8Array(3) })
    expect((await Qcow2.open(memory(image))).size).toBe(1024)
    expect(source).toHaveBeenCalledOnce()
  })

  it.each<[string, () => ModuleSource | Promise<ModuleSource>]>([
    ['is no WebAssembly', () => new Uint8Array(100)],
    ['does not come', () => Promise.reject(new Error('offline'))],
    ['is not there', () => new URL('nothing.wasm', wasm)],
  ])('whose module %s fails, and may be called again', async (_, source) => {
    const { configure, init, isQcow2Error, Qcow2, memory } = await fresh()
    configure({ wasm: source })
    const [error, other] = await Promise.all([
      init().catch((caught) => caught),
      Qcow2.open(memory(image)).catch((caught) => caught),
    ])
    expect(isQcow2Error(error) && error.code).toBe('LOAD_FAILED')
    expect(error.cause).toBeInstanceOf(Error)
    expect(other).toBe(error)
    configure({ wasm })
    expect((await Qcow2.open(memory(image))).size).toBe(1024)
  })
})

describe('configure()', () => {
  it('leaves what it is not given', async () => {
    const { configure, Qcow2, memory } = await fresh()
    const source = vi.fn(() => readFileSync(wasm))
    configure({ wasm: source })
    configure({ worker: '/worker.js', wasm: undefined })
    configure({ files: { wasm: new Uint8Array() } })
    await Qcow2.open(memory(image))
    expect(source).toHaveBeenCalledOnce()
  })

  it.each([{ worker: 1 }, { worker: null }, { files: { worker: {} } }])('refuses %j', async (given) => {
    const { configure, isQcow2Error } = await fresh()
    const code = (work: () => void) => {
      try {
        work()
        return 'taken'
      } catch (error) {
        return isQcow2Error(error) && error.code
      }
    }
    expect(code(() => configure(given as never))).toBe('INVALID_ARGUMENT')
  })
})

it('qcow2-web/inline has the module within', async () => {
  const inline = await import('../../src/js/inline.js')
  const read = vi.spyOn(WebAssembly, 'compile')
  expect((await inline.Qcow2.open(inline.memory(image))).size).toBe(1024)
  const [bytes] = read.mock.calls[0] ?? []
  read.mockRestore()
  expect(Buffer.compare(new Uint8Array(bytes as unknown as ArrayBuffer), readFileSync(wasm))).toBe(0)
})
