import { readFileSync } from 'node:fs'
import { afterEach, expect, it, vi } from 'vitest'
import { configure, convert, memory, Qcow2 } from '../../src/js/index.js'
import { trapping } from './helpers/trapping.js'

const wasm = readFileSync(new URL('../../src/js/generated/qcow2_web_bg.wasm', import.meta.url))
configure({ wasm: trapping(wasm, 'wasmimage_locate') })

afterEach(() => vi.restoreAllMocks())

const MiB = 1024 * 1024

/** An image with something in it that is not flushed. */
async function written() {
  const storage = memory()
  const image = await Qcow2.create(storage, { size: MiB })
  await image.write(0, new Uint8Array(1000).fill(7))
  return { storage, image }
}

it('an image that is opened after the engine failed gets another engine', async () => {
  const { image } = await written()
  const made = vi.spyOn(WebAssembly, 'instantiate')
  await expect(image.locate(0)).rejects.toMatchObject({ code: 'ENGINE_FAILED', kind: 'engine' })
  const next = await Promise.all([written(), written()])
  expect(made).toHaveBeenCalledOnce()
  for (const { image, storage } of next) {
    await image.close()
    await using again = await Qcow2.open(storage)
    expect(again.readSync(0, 1)[0]).toBe(7)
  }
  expect(made).toHaveBeenCalledOnce()
})

it('an image that was open when the engine failed for another one goes on', async () => {
  const [failing, other] = [await written(), await written()]
  await expect(failing.image.locate(0)).rejects.toMatchObject({ code: 'ENGINE_FAILED' })
  const later = await written()
  await other.image.write(1000, new Uint8Array(1000).fill(8))
  await convert(other.image, later.image)
  expect([...(await later.image.read(999, 2))]).toEqual([7, 8])
  await other.image.close()
  await using again = await Qcow2.open(other.storage)
  expect([...(await again.read(999, 2))]).toEqual([7, 8])
  await later.image.close()
})

it('an engine that fails a second time for the same image replaces no engine that works', async () => {
  const { image } = await written()
  await expect(image.locate(0)).rejects.toMatchObject({ code: 'ENGINE_FAILED' })
  const next = await written()
  const made = vi.spyOn(WebAssembly, 'instantiate')
  await expect(image.locate(0)).rejects.toMatchObject({ code: 'ENGINE_FAILED' })
  await (await written()).image.close()
  expect(made).not.toHaveBeenCalled()
  await next.image.close()
})
