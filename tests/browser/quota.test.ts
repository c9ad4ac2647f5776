import { afterAll, beforeAll, expect, it } from 'vitest'
import { check } from '../js/helpers/qemu.js'
import { StorageLab, type Work } from './storage-lab.js'

const lab = new StorageLab()
const MiB = 1024 * 1024

beforeAll(() => lab.start())
afterAll(() => lab.stop())

type Kind = 'opfs' | 'idb'

/** Writes until there is no room; says with what codes that ended, and what is there when it is opened again. */
const fill: Work<[Kind, string], unknown> = async ({ idb, isQcow2Error, opfs, Qcow2 }, kind, name) => {
  const storage = () => (kind === 'opfs' ? opfs(name, { create: true }) : idb(name))
  const code = (error: unknown) => (isQcow2Error(error) ? error.code : String(error))
  const part = 1024 * 1024
  const image = await Qcow2.create(storage(), { size: 1024 * part })
  const codes: string[] = []
  let flushed = 0
  for (let number = 0; codes.length === 0; number += 1) {
    try {
      // Noise, for some storages leave out what is zero.
      const bytes = crypto.getRandomValues(new Uint8Array(65536))
      for (let at = 0; at < part; at += bytes.length) await image.write(number * part + at, bytes)
      await image.flush()
      flushed = number + 1
    } catch (error) {
      codes.push(code(error))
    }
  }
  codes.push(await image.write(0, new Uint8Array(1)).then(() => 'written', code))
  const still = await image.read(0, 512).then(({ length }) => length, code)
  await image.close().catch((error) => codes.push(code(error)))
  const again = await Qcow2.open(storage())
  const whole = (await again.read(0, flushed * part)).length === flushed * part
  await again.close()
  if (kind === 'opfs') await fetch(`/${name}`, { method: 'PUT', body: await opfs.file(name) })
  return { codes: [...new Set(codes)], enough: flushed >= 2, still, whole }
}

/** Writes to it once more. */
const goOn: Work<[Kind, string], string> = async ({ idb, opfs, Qcow2 }, kind, name) => {
  const image = await Qcow2.open(kind === 'opfs' ? opfs(name) : idb(name), { writable: true })
  await image.write(500 * 1024 * 1024, new Uint8Array(1024 * 1024).fill(7))
  await image.close()
  return 'written'
}

it.each([
  ['opfs', 'page'],
  ['opfs', 'worker'],
  ['idb', 'page'],
] as const)(
  'where %s on a %s has no more room, the image stays sound, and with room it goes on',
  async (kind, where) => {
    const name = `${kind}-${where}`
    const run = where === 'page' ? lab.onPage.bind(lab) : lab.inWorker.bind(lab)
    await lab.limit(8 * MiB)
    expect(await run(fill, kind, name)).toEqual({
      codes: expect.arrayContaining(['QUOTA']),
      enough: true,
      still: 512,
      whole: true,
    })
    if (kind === 'opfs') check(lab.file(name))
    await lab.limit(64 * MiB)
    expect(await run(goOn, kind, name)).toBe('written')
  },
  120_000,
)
