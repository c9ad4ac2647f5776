import { beforeAll, describe, expect, it } from 'vitest'
import { type V86Disk, type V86DiskOptions, v86Disk } from '../../src/js/hosts/v86.js'
import { blob, convert, memory, Qcow2, type Snapshot } from '../../src/js/index.js'
import { FaultyStorage } from '../js/helpers/faulty.js'
import { json, save } from '../js/helpers/qemu.js'
import { checkFiles } from './files.js'
import { Linux, readGuest } from './shell.js'

/** The image of a machine that has booted, and was saved with the name `ready`. */
const ready = memory()

const bootTime = 600_000

beforeAll(async () => {
  await convert(blob(new Blob([readGuest()])), ready, { sourceFormat: 'raw' })
  const image = await Qcow2.open(ready, { writable: true })
  const hda = v86Disk(image)
  const linux = new Linux({ hda })
  await hda.attach(linux.emulator)
  await linux.booted()
  await linux.run('mkdir -p /mnt/work; sync')
  await hda.savevm('ready')
  await linux.emulator.stop()
  await hda.close()
  await image.close()
}, bootTime)

interface Guest {
  readonly linux: Linux
  readonly image: Qcow2
  readonly hda: V86Disk
  readonly storage: FaultyStorage
  readonly faults: string[]
}

/** A machine that goes on where `ready` was saved. */
async function resume(options: V86DiskOptions = {}): Promise<Guest> {
  const storage = new FaultyStorage(memory(ready.bytes().slice()))
  const image = await Qcow2.open(storage, { writable: true })
  const faults: string[] = []
  const hda = v86Disk(image, {
    onFault: (error, { kind }) => {
      faults.push(`${kind} ${error.code}`)
      return 'fail'
    },
    ...options,
  })
  const linux = new Linux({ hda, autostart: false }).forTest()
  await hda.attach(linux.emulator)
  await hda.loadvm('ready')
  await linux.emulator.run()
  return { linux, image, hda, storage, faults }
}

describe('Linux', () => {
  it('sees a write cache, and its sync is a flush of the image', async () => {
    const { linux, storage } = await resume()
    expect(await linux.run('cat /sys/class/block/sda/queue/write_cache')).toBe('write back\n')
    expect(await linux.run('dmesg')).toMatch(/Write cache: enabled/)
    const before = storage.asked.flush
    await linux.run('echo synced > /mnt/work/file; sync')
    expect(storage.asked.flush).toBeGreaterThan(before)
  })

  it('sees EIO for a read that fails, at once, and no reset of the drive', async () => {
    const { linux, storage, faults } = await resume()
    storage.fails = { read: true }
    storage.failure = new Error('the medium is gone')
    linux.begin('echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/sda of=/dev/null bs=4k skip=2000 count=1')
    const { text, status } = await linux.ended()
    expect(status).not.toBe(0)
    expect(text).toContain('Input/output error')
    storage.failure = undefined
    await linux.run('dd if=/dev/sda of=/dev/null bs=4k skip=2000 count=1')
    const log = await linux.run('dmesg')
    expect(log).toMatch(/I\/O error, dev sda, sector 16000/)
    expect(log).not.toMatch(/hard resetting link|soft resetting link|frozen/)
    expect(faults).toContain('read STORAGE')
  })

  it('sees EIO for writes and flushes that fail', async () => {
    const { linux, storage, faults } = await resume()
    storage.fails = { write: true, flush: true }
    storage.failure = Object.assign(new Error('no room'), { name: 'QuotaExceededError' })
    linux.begin('dd if=/dev/zero of=/dev/sda bs=4k seek=12 count=1 conv=fsync')
    const { text, status } = await linux.ended()
    expect(status).not.toBe(0)
    expect(text).toMatch(/error/i)
    expect(faults[0]).toMatch(/QUOTA/)
  })

  it('waits while its storage fails for a moment, and goes on by itself', async () => {
    const { linux, storage } = await resume({ onFault: undefined })
    storage.failure = new Error('the line is down')
    storage.fails = { read: true }
    linux.begin('echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/sda of=/dev/null bs=64k skip=100 count=4')
    const failing = storage.asked.read
    // Some attempts of the disk's own.
    while (storage.asked.read < failing + 4) await new Promise((resolve) => setTimeout(resolve, 10))
    storage.failure = undefined
    expect((await linux.ended()).status).toBe(0)
    expect(await linux.run('dmesg')).not.toMatch(/I\/O error/)
  })

  it('loses nothing that it has synced when there is no more room', async () => {
    const { linux, hda, image, storage } = await resume()
    await linux.run('for i in 1 2 3 4 5; do echo content $i > /mnt/work/file$i; sync; done')
    storage.fails = { write: true }
    storage.failure = Object.assign(new Error('no room'), { name: 'QuotaExceededError' })
    linux.begin('dd if=/dev/zero of=/mnt/work/large bs=64k count=8 conv=fsync')
    expect((await linux.ended()).status).not.toBe(0)
    const elsewhere = memory()
    const other = await Qcow2.create(elsewhere, { size: image.size })
    await hda.savevm('elsewhere', { into: other })
    await linux.emulator.stop()

    const disk = v86Disk(other)
    const next = new Linux({ hda: disk, autostart: false }).forTest()
    await disk.attach(next.emulator)
    await disk.loadvm('elsewhere')
    await next.emulator.run()
    expect(await next.run('cat /mnt/work/file5')).toBe('content 5\n')
    await next.emulator.stop()
    await disk.close()
    await other.close()
    checkFiles(save('elsewhere.qcow2', elsewhere.bytes()), 5)
  })
})

describe('a saved machine', () => {
  it('goes back with its disk and its memory, and QEMU lists it', async () => {
    const { linux, hda, image, storage } = await resume()
    const saved: Snapshot[] = []
    for (const name of ['one', 'two']) {
      await linux.run(`VARIABLE=${name}; echo ${name} > /mnt/work/mark; sync`)
      saved.push(await hda.savevm(name))
      expect((await image.check()).verdict).toBe('clean')
    }
    await linux.run('VARIABLE=three; echo three > /mnt/work/mark; sync')
    for (const name of ['one', 'two', 'one']) {
      await hda.loadvm(name)
      expect((await image.check()).verdict).toBe('clean')
      expect(await linux.run('echo $VARIABLE; cat /mnt/work/mark')).toBe(`${name}\n${name}\n`)
    }
    await linux.emulator.stop()
    await hda.close()
    await image.close()
    const { snapshots } = json<{ snapshots: Record<string, unknown>[] }>('info', save('saved.qcow2', storage.bytes()))
    expect(snapshots.map((each) => [each.name, each['vm-state-size']])).toEqual(
      [{ name: 'ready', vmStateSize: expect.any(Number) }, ...saved].map((each) => [each.name, each.vmStateSize]),
    )
    expect(saved.every(({ vmClockNsec }) => vmClockNsec > 0n)).toBe(true)
  })

  it('in the middle of a write goes on with it, and logs no error of the drive', async () => {
    const { linux, hda } = await resume()
    linux.begin('dd if=/dev/zero of=/mnt/work/large bs=64k count=160 conv=fsync; sync')
    // In the middle: some of it has arrived.
    while (hda.state.dirty === false) await new Promise((resolve) => setTimeout(resolve, 1))
    await hda.savevm('busy')
    expect((await linux.ended()).status).toBe(0)
    await hda.loadvm('busy')
    expect((await linux.ended()).status).toBe(0)
    expect(await linux.run('wc -c < /mnt/work/large')).toBe(`${160 * 65536}\n`)
    expect(await linux.run('dmesg')).not.toMatch(/ata.*exception|lost interrupt/)
  })
})
