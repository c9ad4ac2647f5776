import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type * as Adapter from '../../src/js/hosts/v86.js'
import type * as Package from '../../src/js/index.js'
import { bootSector, countOffset } from '../../www/sample/bootable.mjs'
import { check, convert, disk, json } from '../js/helpers/qemu.js'
import { firmware } from './firmware.js'
import { onPage, useServedLab, type Work } from './storage-lab.js'

const raw = new Uint8Array(4 * 1024 * 1024)
raw.set(bootSector())
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

/** Starts a machine from the disk of an image, and returns the count that it prints. */
type Boot = (image: Package.Qcow2) => Promise<number>

/** Puts a function to boot on a page. */
const prepare: Work<[], void> = async () => {
  await new Promise<unknown>((resolve, reject) => {
    const script = Object.assign(document.createElement('script'), { src: '/v86/libv86.js' })
    script.addEventListener('load', resolve)
    script.addEventListener('error', reject)
    document.head.append(script)
  })
  const { V86, load } = globalThis as unknown as typeof import('v86') & { load(path: string): Promise<typeof Adapter> }
  const { v86Disk } = await load('/hosts/v86.js')
  const boot: Boot = async (image) => {
    const hda = v86Disk(image)
    const emulator = new V86({
      wasm_path: '/v86/v86.wasm',
      bios: { url: '/v86/bios.bin' },
      vga_bios: { url: '/v86/vgabios.bin' },
      memory_size: 16 * 1024 * 1024,
      disable_speaker: true,
      autostart: true,
      hda,
    })
    let heard = ''
    const count = new Promise<number>((resolve) => {
      emulator.add_listener('serial0-output-byte', (byte) => {
        heard += String.fromCharCode(byte)
        const found = /Counted so far: (\d+)\r/.exec(heard)
        if (found) resolve(Number(found[1]))
      })
    })
    try {
      await hda.attach(emulator)
      return await count
    } finally {
      await emulator.destroy()
      await hda.close()
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
      expected[countOffset] = 3
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
    expect(disk(file)[countOffset]).toBe(2)
    expect(json<{ snapshots: object[] }>('info', file).snapshots).toMatchObject([{ name: 'started once' }])
  })
})
