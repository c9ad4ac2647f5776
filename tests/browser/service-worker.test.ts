import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { bootSector } from '../../www/sample/bootable.mjs'
import { serveV86 } from '../guests/page.js'
import { convert } from '../js/helpers/qemu.js'
import { onPage, StorageLab, type Work } from './storage-lab.js'

/** A Service Worker as an author would write it: the disk of an image at an address. */
const worker = `
import { blob, capabilities, fileHandle, http, idb, memory, opfs, Qcow2 } from '/index.js'
import { serve } from '/hosts/serve.js'

addEventListener('install', () => skipWaiting())
addEventListener('activate', (event) => event.waitUntil(clients.claim()))

// An image that is stored, changed, and read again, where no worker can be started.
async function kept() {
  await opfs.import('service/kept.qcow2', new Blob([await bytes()]), { overwrite: true })
  const image = await Qcow2.open(opfs('service/kept.qcow2'), { writable: true })
  await image.write(1000, new Uint8Array([1, 2, 3]))
  const other = await Qcow2.open(opfs('service/kept.qcow2')).catch(({ code }) => code)
  await image.close()
  const again = await Qcow2.open(opfs('service/kept.qcow2'))
  const seen = [...(await again.read(1000, 3)), ...(await again.read(again.size - 1, 1))]
  await again.close()
  const { opfs: has, opfsSync } = await capabilities()
  return { seen, other, has, opfsSync }
}

let opening
const open = async () => Qcow2.open(blob(await (await fetch('/disk.qcow2')).blob()))

// Storages that work here, each with the same image.
const bytes = async () => new Uint8Array(await (await fetch('/disk.qcow2')).arrayBuffer())
const storages = {
  http: () => http(new URL('/disk.qcow2', location), { download: true }),
  memory: async () => memory(await bytes()),
  blob: async () => blob(await opfs.file('disk.qcow2')),
  fileHandle: async () => fileHandle(await (await navigator.storage.getDirectory()).getFileHandle('disk.qcow2')),
  idb: async () => {
    const storage = idb('disk.qcow2')
    const all = await bytes()
    await storage.open?.({ writable: true })
    if ((await storage.size()) === 0) await storage.write(0, all)
    await storage.flush()
    await storage.close?.()
    return idb('disk.qcow2')
  },
}

addEventListener('fetch', (event) => {
  const { pathname } = new URL(event.request.url)
  if (pathname === '/disk.img') {
    opening ??= open()
    event.respondWith(opening.then((image) => serve(event.request, image, { etag: 'one' })))
  }
  const kind = pathname.match(/^\\/storages\\/(\\w+)$/)?.[1]
  if (kind) {
    const opening = (async () => Qcow2.open(await storages[kind]()))()
    event.respondWith(opening.then((image) => serve(event.request, image)))
  }
  if (pathname === '/opfs') event.respondWith(kept().then((seen) => Response.json(seen), (error) => Response.json(String(error))))
})
`

const size = 1024 * 1024
const raw = new Uint8Array(size)
raw.set(bootSector())
raw.fill(7, size - 100)

const lab = new StorageLab()
const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-worker-'))

beforeAll(async () => {
  serveV86(lab)
  lab.beside.set('/disk.qcow2', convert('disk.qcow2', raw))
  writeFileSync(join(folder, 'sw.js'), worker)
  lab.beside.set('/sw.js', join(folder, 'sw.js'))
  await lab.start()
})
afterAll(async () => {
  await lab.stop()
  rmSync(folder, { recursive: true })
})

/** Registers the worker, and waits until it answers for the page. */
const register: Work<[], void> = async () => {
  const controlled = new Promise((resolve) => {
    navigator.serviceWorker.addEventListener('controllerchange', resolve)
  })
  await navigator.serviceWorker.register('/sw.js', { type: 'module' })
  if (!navigator.serviceWorker.controller) await controlled
}

it('a page reads the disk of an image from an address, in ranges', async () => {
  const page = await lab.page()
  await onPage(page, register)
  const found = await onPage(
    page,
    async (_, size) => {
      const ask = async (range: string) => {
        const response = await fetch('/disk.img', { headers: { range } })
        const bytes = new Uint8Array(await response.arrayBuffer())
        return [response.status, response.headers.get('content-range'), bytes.length, bytes.at(-1)] as const
      }
      const whole = new Uint8Array(await (await fetch('/disk.img')).arrayBuffer())
      return {
        whole: [...whole.subarray(size - 101)].length,
        part: await ask('bytes=510-511'),
        end: await ask('bytes=-100'),
      }
    },
    size,
  )
  expect(found).toEqual({
    whole: 101,
    part: [206, `bytes 510-511/${size}`, 2, 0xaa],
    end: [206, `bytes ${size - 100}-${size - 1}/${size}`, 100, 7],
  })
  await page.close()
})

it('v86 starts from that address, without an adapter', async () => {
  const page = await lab.page()
  await onPage(page, register)
  const count = await onPage(
    page,
    async (_, size) => {
      await new Promise<unknown>((resolve, reject) => {
        const script = Object.assign(document.createElement('script'), { src: '/v86/libv86.js' })
        script.addEventListener('load', resolve)
        script.addEventListener('error', reject)
        document.head.append(script)
      })
      const { V86 } = globalThis as unknown as typeof import('v86')
      const emulator = new V86({
        wasm_path: '/v86/v86.wasm',
        bios: { url: '/v86/bios.bin' },
        vga_bios: { url: '/v86/vgabios.bin' },
        memory_size: 16 * 1024 * 1024,
        disable_speaker: true,
        autostart: true,
        hda: { url: '/disk.img', async: true, size },
      })
      let heard = ''
      const count = await new Promise((resolve) => {
        emulator.add_listener('serial0-output-byte', (byte) => {
          heard += String.fromCharCode(byte)
          const found = /Counted so far: (\d+)\r/.exec(heard)
          if (found) resolve(Number(found[1]))
        })
      })
      await emulator.destroy()
      return count
    },
    size,
  )
  expect(count).toBe(1)
  await page.close()
})

it.each(['http', 'memory', 'blob', 'fileHandle', 'idb'])('a Service Worker serves an image from %s', async (kind) => {
  const page = await lab.page()
  await onPage(page, register)
  const end = await onPage(
    page,
    async ({ opfs }, kind) => {
      if (!(await opfs.list()).some(({ path }) => path === 'disk.qcow2'))
        await opfs.import('disk.qcow2', await (await fetch('/disk.qcow2')).blob())
      const response = await fetch(`/storages/${kind}`, { headers: { range: 'bytes=-2' } })
      return [...new Uint8Array(await response.arrayBuffer())]
    },
    kind,
  )
  expect(end).toEqual([7, 7])
  await page.close()
})

it('a Service Worker keeps an image in the origin-private file system, without a worker', async () => {
  const page = await lab.page()
  await onPage(page, register)
  const seen = await onPage(page, async () => (await fetch('/opfs')).json())
  expect(seen).toEqual({ seen: [1, 2, 3, 7], other: 'IN_USE', has: true, opfsSync: false })
  await page.close()
})
