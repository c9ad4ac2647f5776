import { expect, it } from 'vitest'
import { onPage, type Work } from '../browser/storage-lab.js'
import { contents } from '../js/helpers/qemu.js'
import { hours, useGuestLab } from './lab.js'
import { type PageGlobals, prepareLinux } from './page.js'

/** How long the server is away that comes back, in milliseconds. */
const outage = 10_000

/** More than is read ahead of the files that the guest reads while it boots. */
const behind = contents(24 * 1024 * 1024)
const guest = useGuestLab({ behind })
const { lab } = guest

interface Outage {
  /** What the guest's command printed, with its status as the last line. */
  readonly text: string
  /** The kernel's log. */
  readonly log: string
  /** The code of the last failure that the page was told of. */
  readonly code: string | undefined
  /** How long after that the guest's command ended, in milliseconds. */
  readonly later: number
}

/** Boots, lets the server stop, and reads the rest of the disk. */
const readOn: Work<[string, string], Outage> = async ({ http, opfs, overlay }, url, name) => {
  const { linux } = globalThis as unknown as PageGlobals
  const image = await overlay(http(url), opfs(name, { create: true }))
  let failed: { readonly code: string; readonly at: number } | undefined
  const { hear, run, emulator, hda } = await linux(
    image,
    {},
    {
      onChange: ({ failed: error }) => {
        if (!error) return
        if (!failed) void fetch('/failing')
        failed = { code: error.code, at: performance.now() }
      },
    },
  )
  await hear('ready> ')
  await fetch('/booted')
  const text = await run('dd if=/dev/sda of=/dev/null bs=64k skip=1024 2>&1')
  const later = performance.now() - (failed?.at ?? 0)
  const log = await run('dmesg')
  await emulator.stop()
  await hda.close()
  await image.close()
  return { text, log, code: failed?.code, later }
}

async function readThrough(name: string, onFailing: () => void): Promise<Outage> {
  const page = await lab.page()
  await onPage(page, prepareLinux)
  lab.listen = (pathname) => {
    // By the time that this is answered, no connection is left.
    if (pathname === '/booted') guest.server.stop()
    if (pathname === '/failing') onFailing()
  }
  const outage = await onPage(page, readOn, guest.server.url, name)
  await page.close()
  return outage
}

it(
  'a guest goes on by itself when its server was away',
  async () => {
    const { text, log, code } = await readThrough('away', () => setTimeout(() => guest.server.start(), outage))
    expect(text).toMatch(/0\n$/)
    expect(log).not.toMatch(/I\/O error|ata.*exception/)
    expect(code).toBe('STORAGE')
  },
  hours,
)

it(
  'a guest sees EIO when its server is gone for good',
  async () => {
    const { text, log, code, later } = await readThrough('gone', () => {})
    console.log(`EIO ${Math.round(later)} ms behind the last failure`)
    expect(text).toMatch(/Input\/output error[\s\S]*[1-9]\n$/)
    expect(log).toMatch(/I\/O error, dev sda/)
    expect(code).toBe('STORAGE')
  },
  hours,
)
