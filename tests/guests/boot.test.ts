import { describe, expect, it } from 'vitest'
import { onPage, type Work } from '../browser/storage-lab.js'
import { hours, useGuestLab } from './lab.js'
import { type PageGlobals, prepareLinux } from './page.js'

/** How often each kind of disk is booted. The medians are printed: they mean something on an idle machine alone. */
const rounds = Number(process.env.ROUNDS ?? 1)

const guest = useGuestLab({ compressed: true })
const { lab } = guest

type Kind = 'raw' | 'memory' | 'http' | 'worker'

interface Boot {
  readonly boot: number
  /** The processor time of the browser until then. */
  readonly cpu: number
  readonly read: number
  readonly write: number
  readonly syncs: number
}

/**
 * Boots from a disk of a kind, and measures in ms: the boot, a read of 16 MiB, a write of 4 MiB, and 30 syncs of a file. These are
 * medians of five runs after a first one, in which v86 compiles what the guest runs.
 */
const measure: Work<[Kind, string], Omit<Boot, 'cpu'>> = async ({ http, memory, opfs, overlay, Qcow2 }, kind, url) => {
  const { linux } = globalThis as unknown as PageGlobals
  const fetched = async (path: string) => (await fetch(path)).arrayBuffer()
  const disk =
    kind === 'raw'
      ? await fetched('/linux.raw')
      : kind === 'memory'
        ? await Qcow2.open(memory(new Uint8Array(await fetched('/linux.qcow2'))), {
            writable: true,
          })
        : await overlay(http(url), opfs(`overlay ${kind}`, { create: true }), { worker: kind === 'worker' })
  await fetch('/began')
  const began = performance.now()
  const { hear, run, emulator, hda } = await linux(disk)
  await hear('ready> ')
  const boot = performance.now() - began
  await fetch('/booted')
  const timed = async (command: string) => {
    const from = performance.now()
    const text = await run(command)
    if (!text.endsWith('0\n')) throw new Error(text)
    return performance.now() - from
  }
  const typical = async (command: string) => {
    const times: number[] = []
    for (let turn = 0; turn < 6; turn += 1) {
      await timed('sync; echo 3 > /proc/sys/vm/drop_caches')
      times.push(await timed(command))
    }
    return times.slice(1).sort((one, other) => one - other)[2] ?? 0
  }
  await timed('mkdir -p /mnt/work; dd if=/dev/zero of=/mnt/work/large bs=64k count=256 conv=fsync')
  const read = await typical('dd if=/mnt/work/large of=/dev/null bs=64k')
  const write = await typical('dd if=/dev/zero of=/mnt/work/other bs=64k count=64 conv=fsync')
  const syncs = await typical('i=0; while [ $i -lt 30 ]; do echo $i > /mnt/work/small; sync; i=$((i+1)); done')
  await emulator.stop()
  if (!(disk instanceof ArrayBuffer)) {
    await hda.close()
    await disk.close()
    if (kind === 'http' || kind === 'worker') await opfs.delete(`overlay ${kind}`)
  }
  return { boot, read, write, syncs }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

it(
  'boots from all kinds of disks, and these are the times',
  async () => {
    const kinds: Kind[] = ['raw', 'memory', 'http', 'worker']
    const times = new Map<Kind, Boot[]>()
    for (let round = 0; round < rounds; round += 1) {
      for (const kind of kinds) {
        const page = await lab.page()
        await onPage(page, prepareLinux)
        let cpu = 0
        lab.listen = (pathname) => {
          if (pathname === '/began') cpu = -1000 * lab.processorTime()
          if (pathname === '/booted') cpu += 1000 * lab.processorTime()
        }
        const boot = await onPage(page, measure, kind, guest.server.url)
        times.set(kind, [...(times.get(kind) ?? []), { ...boot, cpu }])
        await page.close()
      }
    }
    for (const [kind, all] of times) {
      const line = (['boot', 'cpu', 'read', 'write', 'syncs'] as const).map((what) => {
        const [own, raw] = [all, times.get('raw') ?? []].map((list) => median(list.map((each) => each[what])))
        return `${what} ${Math.round(own ?? 0)} ms (${((own ?? 0) / (raw || 1)).toFixed(2)})`
      })
      console.log(`${kind}: ${line.join(', ')}`)
    }
    expect(times.size).toBe(kinds.length)
  },
  hours,
)

describe('over HTTP', () => {
  /** Boots, and returns what was read, as a list to be fetched ahead the next time. */
  const boot: Work<[string, Parameters<typeof JSON.stringify>[0]], unknown> = async (
    { http, opfs, overlay, prefetched, recorded },
    url,
    list,
  ) => {
    const { linux } = globalThis as unknown as PageGlobals
    const kept = http(url, { readAhead: { budget: 32 * 2 ** 20 } })
    const base = recorded(list ? prefetched(kept, list) : kept)
    const image = await overlay(base, opfs('booting', { create: true }))
    const { hear, emulator, hda } = await linux(image)
    await hear('ready> ')
    await emulator.stop()
    await hda.close()
    await image.close()
    await opfs.delete('booting')
    return base.list()
  }

  it(
    'a boot takes few requests, and fewer with a recorded list',
    async () => {
      let list: unknown = null
      const counts: number[] = []
      for (let times = 0; times < 2; times += 1) {
        guest.server.requests.length = 0
        const page = await lab.page()
        await onPage(page, prepareLinux)
        list = await onPage(page, boot, guest.server.url, list)
        await page.close()
        counts.push(guest.server.requests.length)
      }
      console.log(`requests: ${counts[0]}, with a list ${counts[1]}`)
      expect(counts[0]).toBeLessThanOrEqual(14)
      expect(counts[1]).toBeLessThanOrEqual(6)
    },
    hours,
  )
})
