import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type * as Package from '../../src/js/index.js'
import { check, convert, disk, json } from '../js/helpers/qemu.js'
import { firmware } from './firmware.js'
import { onPage, useServedLab, type Work } from './storage-lab.js'

/** Adds one to the first byte of the second sector of the disk that it starts from, and tells it by the serial line. */
const bootCode = [
  ...[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c], // ax = ds = es = ss = 0, sp = 0x7c00
  ...[0xb8, 0x01, 0x02, 0xbb, 0x00, 0x80, 0xb9, 0x02, 0x00, 0xb6, 0x00], // to read one sector, the second, to 0x8000
  ...[0x52, 0xcd, 0x13, 0x5a], // from the drive, which stays in dl
  ...[0xfe, 0x06, 0x00, 0x80], // byte [0x8000] += 1
  ...[0xb8, 0x01, 0x03, 0xbb, 0x00, 0x80, 0xb9, 0x02, 0x00, 0xb6, 0x00, 0xcd, 0x13], // write it back
  ...[0xba, 0xf8, 0x03, 0xa0, 0x00, 0x80, 0xee], // the serial line gets the byte
  ...[0xf4, 0xeb, 0xfd], // halt, for ever
]

const raw = new Uint8Array(4 * 1024 * 1024)
raw.set(bootCode)
raw.set([0x55, 0xaa], 510)
const original = convert('bootable.qcow2', raw)

const { lab, server } = useServedLab(readFileSync(original))

const v86 = join(import.meta.dirname, '../../node_modules/v86/build')

beforeAll(() => {
  for (const [name, path] of [
    ['bios.bin', firmware('bios.bin')],
    ['vgabios.bin', firmware('vgabios-stdvga.bin')],
    ['libv86.js', join(v86, 'libv86.js')],
    ['v86.wasm', join(v86, 'v86.wasm')],
  ] as const)
    lab.beside.set(`/v86/${name}`, path)
})

/** What is there of v86. */
interface Emulator {
  add_listener(event: string, listener: (value: number) => void): void
  destroy(): Promise<void>
}

/** Starts a machine from the disk of an image, and returns the byte that it tells when it has written it. */
type Boot = (image: Package.Qcow2) => Promise<number>

/** Puts a function to boot on a page. */
const prepare: Work<[], void> = async () => {
  await new Promise<unknown>((resolve, reject) => {
    const script = Object.assign(document.createElement('script'), { src: '/v86/libv86.js' })
    script.addEventListener('load', resolve)
    script.addEventListener('error', reject)
    document.head.append(script)
  })
  const { V86 } = globalThis as unknown as { V86: new (options: object) => Emulator }
  const boot: Boot = async (image) => {
    let emulator: Emulator | undefined
    // The machine goes on before a write is done: what it asks for next comes after that.
    let last: Promise<void> = Promise.resolve()
    const told = new Promise<number>((resolve, reject) => {
      const next = (request: () => Promise<void>) => {
        last = last.then(request)
        last.catch(reject)
      }
      const hda = {
        byteLength: image.size,
        onload: (_: object) => {},
        load() {
          this.onload({})
        },
        get(offset: number, length: number, done: (bytes: Uint8Array) => void) {
          next(async () => done(await image.read(offset, length)))
        },
        // It looks for a geometry in the first sector, and takes its own where there is none.
        get_from_cache() {},
        get_and_cache(offset: number, length: number, done: (bytes: Uint8Array) => void) {
          this.get(offset, length, done)
        },
        set(offset: number, bytes: Uint8Array, done: () => void) {
          const own = bytes.slice()
          next(async () => {
            await image.write(offset, own)
            done()
          })
        },
      }
      emulator = new V86({
        wasm_path: '/v86/v86.wasm',
        bios: { url: '/v86/bios.bin' },
        vga_bios: { url: '/v86/vgabios.bin' },
        memory_size: 16 * 1024 * 1024,
        disable_speaker: true,
        autostart: true,
        hda,
      })
      emulator.add_listener('serial0-output-byte', resolve)
    })
    try {
      const count = await told
      await last
      return count
    } finally {
      await emulator?.destroy()
    }
  }
  Object.assign(globalThis, { boot })
}

/** A page that can boot. */
async function machine() {
  const page = await lab.page()
  await onPage(page, prepare)
  return page
}

describe('a machine in v86', () => {
  it.each([false, true])(
    'starts from a server, and keeps what it writes in an overlay, with a worker: %s',
    async (worker) => {
      const name = `overlay-${worker}.qcow2`
      const counts: number[] = []
      for (let starts = 0; starts < 3; starts += 1) {
        const page = await machine()
        const count = await onPage(
          page,
          async ({ http, opfs, overlay }, url, name, worker) => {
            const { boot } = globalThis as unknown as { boot: Boot }
            const image = await overlay(http(url), opfs(name, { create: true }), { worker })
            const count = await boot(image)
            await image.flush()
            return count
          },
          server.url,
          name,
          worker,
        )
        counts.push(count)
        // With the page the image is gone as it is, and not closed.
        await page.close()
      }
      expect(counts).toEqual([1, 2, 3])

      await lab.onPage(
        async ({ http, opfs, overlay }, url, name) => {
          const image = await overlay(http(url), opfs(name))
          await image.copyUp()
          await image.close()
          await fetch(`/${name}`, { method: 'PUT', body: await opfs.file(name) })
        },
        server.url,
        name,
      )
      expect(check(lab.file(name))).toBe('clean')
      const expected = raw.slice()
      expected[512] = 3
      expect(Buffer.compare(disk(lab.file(name)), expected)).toBe(0)
    },
  )

  it('goes back to a snapshot', async () => {
    const page = await machine()
    const counts = await onPage(
      page,
      async ({ opfs, Qcow2 }, url) => {
        const { boot } = globalThis as unknown as { boot: Boot }
        await opfs.import('machine.qcow2', await (await fetch(url)).blob())
        const image = await Qcow2.open(opfs('machine.qcow2'), { writable: true })
        const counts = [await boot(image)]
        await image.snapshots.create('started once')
        counts.push(await boot(image), await boot(image))
        await image.snapshots.apply('started once')
        counts.push(await boot(image))
        await image.close()
        await fetch('/machine.qcow2', { method: 'PUT', body: await opfs.file('machine.qcow2') })
        return counts
      },
      server.url,
    )
    await page.close()
    expect(counts).toEqual([1, 2, 3, 2])
    const file = lab.file('machine.qcow2')
    expect(check(file)).toBe('clean')
    expect(disk(file)[512]).toBe(2)
    expect(json<{ snapshots: object[] }>('info', file).snapshots).toMatchObject([{ name: 'started once' }])
  })
})
