import { afterAll, beforeAll, expect, it } from 'vitest'
import { checkEncrypted, decrypted, passphrase } from '../js/helpers/secret.js'
import { StorageLab } from './storage-lab.js'

const lab = new StorageLab()

beforeAll(() => lab.start())
afterAll(() => lab.stop())

it.each([
  ['on the page', false],
  ['in a worker', true],
])('an encrypted image is made, opened and given other passphrases by an engine %s', async (_, worker) => {
  const name = `encrypted-${worker}.qcow2`
  const seen = await lab.onPage(
    async ({ bestStorage, isQcow2Error, Qcow2 }, worker, name, passphrase) => {
      const storage = async () => (await bestStorage(name)).storage
      const code = (error: unknown) => (isQcow2Error(error) ? error.code : String(error))
      const told: number[] = []
      const onProgress = ({ done }: { done: number }) => told.push(done)
      const encryption = { passphrase, iterations: 2000 }
      const image = await Qcow2.create(await storage(), { size: 2 ** 20, encryption, worker, onProgress })
      await image.write(1000, new Uint8Array(100_000).fill(7))
      const slot = await image.keySlots.create(passphrase, 'second', { iterations: 1000, onProgress })
      await image.keySlots.change('second', 'third', { iterations: 1000 })
      await image.close()
      const asked: string[] = []
      const ask = async ({ format, depth }: { format: string; depth: number }) => {
        asked.push(`${format} ${depth}`)
        return 'third'
      }
      const again = await Qcow2.open(await storage(), { passphrase: ask, worker })
      const bytes = Array.from(await again.read(999, 3))
      const slots = (await again.keySlots.list()).map(({ active, iterations }) => active && iterations)
      await again.close()
      const failures = []
      for (const wrong of ['second', undefined, () => undefined]) {
        failures.push(await Qcow2.open(await storage(), { passphrase: wrong, worker }).catch(code))
      }
      const thrown = () => {
        throw new RangeError('asked too often')
      }
      failures.push(await Qcow2.open(await storage(), { passphrase: thrown, worker }).catch(String))
      const file = await storage()
      if (!('read' in file)) throw new Error('not on a page')
      await file.open?.()
      const body = new Uint8Array(await file.read(0, await file.size(), new AbortController()))
      await file.close?.()
      await fetch(`/${name}`, { method: 'PUT', body })
      return { slot, asked, bytes, slots, failures, told: told.length > 0 }
    },
    worker,
    name,
    passphrase,
  )
  expect(seen).toEqual({
    slot: 1,
    asked: ['luks 0'],
    bytes: [0, 7, 7],
    slots: [2000, false, 1000, false, false, false, false, false],
    failures: ['WRONG_PASSPHRASE', 'PASSPHRASE_NEEDED', 'PASSPHRASE_NEEDED', 'RangeError: asked too often'],
    told: true,
  })
  checkEncrypted(lab.file(name))
  expect(Array.from(decrypted(lab.file(name)).subarray(999, 1002))).toEqual([0, 7, 7])
})
