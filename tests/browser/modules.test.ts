import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contents, convert } from '../js/helpers/qemu.js'
import { createEncrypted, luks, passphrase } from '../js/helpers/secret.js'
import { StorageLab, type Work } from './storage-lab.js'

const lab = new StorageLab()

beforeAll(() => lab.start())
afterAll(() => lab.stop())

const image = readFileSync(convert('modules.qcow2', contents(65536, 3))).toString('base64')
const encrypted = readFileSync(createEncrypted('modules-encrypted.qcow2', luks)).toString('base64')

/** Reads in the small module, and then does what it lacks; returns the modules that were fetched until then and in the end. */
const read: Work<[string, boolean], unknown> = async ({ memory, Qcow2 }, base64, worker) => {
  const fetched = () => {
    const urls = performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)
    return urls.filter((path) => path.endsWith('.wasm'))
  }
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
  const opened = await Qcow2.open(memory(bytes), { worker })
  const whole = await opened.read(0, opened.size)
  const first = fetched()
  const { verdict } = await opened.check()
  const again = await opened.read(0, opened.size)
  await opened.close()
  return { length: whole.length, same: whole.every((byte, at) => byte === again[at]), verdict, first, all: fetched() }
}

const reader = '/reader/generated/qcow2_web_reader_bg.wasm'
const engine = '/generated/qcow2_web_bg.wasm'

describe.each([
  ['on the page', false],
  ['in a worker', true],
])('%s', (_, worker) => {
  it('an image that is read needs the reader, and the whole engine only where it is needed', async () => {
    const expected = { length: 65536, same: true, verdict: 'clean', first: [reader], all: [reader, engine] }
    expect(await lab.onPage(read, image, worker)).toEqual(expected)
  })

  it('an encrypted image is opened in the whole engine', async () => {
    const seen = await lab.onPage(
      async ({ memory, Qcow2 }, base64, passphrase, worker) => {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
        const opened = await Qcow2.open(memory(bytes), { passphrase, worker })
        const first = await opened.read(0, 4)
        await opened.close()
        return [...first]
      },
      encrypted,
      passphrase,
      worker,
    )
    expect(seen).toEqual([0, 0, 0, 0])
  })

  it('a page that gives one module gets along with it', async () => {
    const seen = await lab.onPage(
      async ({ configure, memory, Qcow2 }, base64, worker) => {
        configure({ wasm: '/generated/qcow2_web_bg.wasm' })
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
        const opened = await Qcow2.open(memory(bytes), { worker })
        const { verdict } = await opened.check()
        await opened.close()
        const urls = performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)
        return [verdict, ...urls.filter((path) => path.endsWith('.wasm'))]
      },
      image,
      worker,
    )
    expect(seen).toEqual(['clean', engine])
  })
})
