import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { protocolVersion } from '../../src/js/worker/rpc/messages.js'
import { trapping } from '../js/helpers/trapping.js'
import { StorageLab } from './storage-lab.js'

const lab = new StorageLab()
beforeAll(() => lab.start())
afterAll(() => lab.stop())

describe('the worker of the package', () => {
  it('stays for the next image after the last one was closed', async () => {
    const started = await lab.onPage(async ({ memory, Qcow2 }) => {
      let started = 0
      globalThis.Worker = class extends Worker {
        constructor(...args: ConstructorParameters<typeof Worker>) {
          super(...args)
          started += 1
        }
      }
      for (let image = 0; image < 3; image += 1) {
        await (await Qcow2.create(memory(), { size: 65536, worker: true })).close()
      }
      return started
    })
    expect(started).toBe(1)
  })

  it('is another one for the next image when its engine has failed', async () => {
    const module = trapping(readFileSync(wasm), 'wasmimage_locate').toString('base64')
    const seen = await lab.onPage(async ({ configure, isQcow2Error, memory, Qcow2 }, module) => {
      let started = 0
      globalThis.Worker = class extends Worker {
        constructor(...args: ConstructorParameters<typeof Worker>) {
          super(...args)
          started += 1
        }
      }
      configure({ wasm: Uint8Array.from(atob(module), (letter) => letter.charCodeAt(0)) })
      const codes: unknown[] = []
      for (let image = 0; image < 2; image += 1) {
        const opened = await Qcow2.create(memory(), { size: 65536, worker: true })
        await opened.write(0, new Uint8Array(512))
        codes.push(await opened.locate(0).catch((error) => isQcow2Error(error) && [error.code, error.kind]))
        await opened.close().catch(() => {})
      }
      return [started, ...codes]
    }, module)
    expect(seen).toEqual([2, ['ENGINE_FAILED', 'engine'], ['ENGINE_FAILED', 'engine']])
  })

  it('refuses a page of another version, and methods that it does not know', async () => {
    const seen = await lab.onPage(async (_, version) => {
      const worker = new Worker('/worker/worker.js', { type: 'module' })
      const call = (id: number, method: string, args: unknown[]) =>
        new Promise((resolve) => {
          worker.addEventListener('message', ({ data }) => {
            if (data.id === id) resolve(data.error?.code ?? data.qcow2)
          })
          worker.postMessage({ qcow2: 'call', id, method, args, cancellable: false, watched: false })
        })
      const codes = [await call(1, 'begin', [-1]), await call(2, 'begin', [version]), await call(3, 'nonsense', [])]
      worker.terminate()
      return codes
    }, protocolVersion)
    expect(seen).toEqual(['WORKER_MISMATCH', 'value', 'WORKER_MISMATCH'])
  })
})

const wasm = join(import.meta.dirname, '../../dist/generated/qcow2_web_bg.wasm')
