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
    const { init, Qcow2, memory } = await fresh()
    await init({ module_or_path: source() })
    expect((await Qcow2.open(memory(image))).size).toBe(1024)
  })

  it('loads once, whoever calls', async () => {
    const { init, Qcow2, memory } = await fresh()
    const first = init({ module_or_path: readFileSync(wasm) })
    const second = init({ module_or_path: Promise.reject(new Error('never looked at')).catch(() => new Uint8Array()) })
    expect(second).toBe(first)
    await first
    await init({ module_or_path: new Uint8Array(3) })
    expect((await Qcow2.open(memory(image))).size).toBe(1024)
  })

  it.each<[string, () => ModuleSource | Promise<ModuleSource>]>([
    ['is no WebAssembly', () => new Uint8Array(100)],
    ['does not come', () => Promise.reject(new Error('offline'))],
    ['is not there', () => new URL('nothing.wasm', wasm)],
  ])('whose module %s fails, and may be called again', async (_, source) => {
    const { init, isQcow2Error, Qcow2, memory } = await fresh()
    const [error, other] = await Promise.all([
      init({ module_or_path: source() }).catch((caught) => caught),
      Qcow2.open(memory(image)).catch((caught) => caught),
    ])
    expect(isQcow2Error(error) && error.code).toBe('LOAD_FAILED')
    expect(error.cause).toBeInstanceOf(Error)
    expect(other).toBe(error)
    expect((await Qcow2.open(memory(image))).size).toBe(1024)
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
