import type { V86Options } from 'v86'
import { describe, expect, it, vi } from 'vitest'
import { type V86DiskOptions, v86Disk } from '../../src/js/hosts/v86.js'
import { memory, Qcow2, type WritableStorage } from '../../src/js/index.js'
import { bootSector, countOffset } from '../../www/sample/bootable.mjs'
import { FaultyStorage } from './helpers/faulty.js'
import { ideProbe } from './helpers/ide-probe.js'
import { SerialMachine } from './helpers/machine.js'
import { check, json, save } from './helpers/qemu.js'

const size = 1024 * 1024

async function imageOf(storage: WritableStorage, program = bootSector()): Promise<Qcow2> {
  const image = await Qcow2.create(storage, { size })
  await image.write(0, program)
  await image.flush()
  return image
}

/** A machine with the disk of an image, which it starts from. */
async function boot(image: Qcow2, options: V86DiskOptions = {}, others: Partial<V86Options> = {}) {
  const disk = v86Disk(image, options)
  // The type of the disk fits v86's declarations.
  const fits: Partial<V86Options> = { hda: disk }
  const machine = new SerialMachine({ ...fits, ...others }).forTest()
  const hooks = await disk.attach(machine.emulator)
  return { disk, machine, hooks }
}

const countOf = async (image: Qcow2) => new DataView((await image.read(countOffset, 4)).buffer).getUint32(0, true)

describe.each([
  ['synchronous', () => memory()],
  ['asynchronous', () => new FaultyStorage()],
])('over an image that is %s', (_, storage) => {
  it('a machine starts and keeps what it writes', async () => {
    const image = await imageOf(storage())
    const { machine, hooks, disk } = await boot(image)
    expect(hooks).toEqual({ flush: true, errors: true })
    expect(await machine.count()).toBe(1)
    machine.send('x')
    expect(await machine.count()).toBe(2)
    await disk.flush()
    expect(await countOf(image)).toBe(2)
  })
})

describe('the drive', () => {
  it('has a write cache, and a guest flush is a flush of the image', async () => {
    const image = await imageOf(new FaultyStorage(), ideProbe())
    const { machine } = await boot(image)
    const [, supported, enabled] = await machine.hear(/identify (\d+) (\d+) /)
    expect(Number(supported) & 0x20).toBe(0x20)
    expect(Number(enabled) & 0x20).toBe(0x20)
    const flush = vi.spyOn(image, 'flush')
    machine.send('f')
    const [, status] = await machine.hear(/flush (\d+)\r/)
    expect(Number(status)).toBe(0x50)
    expect(flush).toHaveBeenCalledTimes(1)
  })

  it('has no write cache where it is not to have one, or the guest disables it', async () => {
    const without = await boot(await imageOf(memory(), ideProbe()), { writeCache: false })
    const [, supported, enabled] = await without.machine.hear(/identify (\d+) (\d+) /)
    expect([Number(supported) & 0x20, Number(enabled) & 0x20]).toEqual([0, 0])

    const { machine, disk } = await boot(await imageOf(memory(), ideProbe()))
    await machine.hear(/identify/)
    machine.send('d')
    const [, still, disabled] = await machine.hear(/identify (\d+) (\d+) /)
    expect([Number(still) & 0x20, Number(disabled) & 0x20]).toEqual([0x20, 0])
    await new Promise<void>((resolve) => disk.set(4096, new Uint8Array(512).fill(1), resolve))
    expect(disk.state.dirty).toBe(false)
    machine.send('e')
    const [, , again] = await machine.hear(/identify (\d+) (\d+) /)
    expect(Number(again) & 0x20).toBe(0x20)
  })

  it('reports an error for a flush that fails, also for one that nobody had asked for', async () => {
    const storage = new FaultyStorage()
    const image = await imageOf(storage, ideProbe())
    const { machine } = await boot(image, { onFault: () => 'fail' })
    await machine.hear(/identify/)
    storage.failure = new Error('the medium is gone')
    await image.write(4096, new Uint8Array([1])).catch(() => {})
    machine.send('f')
    expect(Number((await machine.hear(/flush (\d+)\r/))[1]) & 1).toBe(1)
  })

  it.each(['read', 'write'] as const)('reports an error for a %s that fails, and goes on', async (kind) => {
    const storage = new FaultyStorage()
    const image = await imageOf(storage)
    const asked: unknown[] = []
    const { machine, disk } = await boot(image, {
      onFault: (_, request) => {
        asked.push(request.kind)
        return 'fail'
      },
    })
    expect(await machine.count()).toBe(1)
    await disk.flush()
    storage.fails = { [kind]: true }
    storage.failure = new Error('the medium is gone')
    machine.send('x')
    await machine.hear(/The disk reports an error/)
    expect(asked).toContain(kind)
    expect(await countOf(image).catch(() => 1)).toBe(1)
    if (kind === 'write') return
    storage.failure = undefined
    machine.send('x')
    expect(await machine.count()).toBe(2)
  })
})

/** The primary channel's. */
const statusPort = 0x1f7

/** What v86's declarations have not got. */
interface PolledCpu {
  readonly in_hlt: { readonly 0: number }
  readonly io: { port_read8(port: number): number }
}

it('the processor sleeps while its BIOS polls a drive that waits for the image', async () => {
  const storage = new FaultyStorage()
  const { machine, disk } = await boot(await imageOf(storage))
  expect(await machine.count()).toBe(1)
  await disk.flush()
  let open = () => {}
  storage.gate = new Promise((resolve) => {
    open = resolve
  })
  const { cpu } = (machine.emulator as unknown as { v86: { cpu: PolledCpu } }).v86
  const read = cpu.io.port_read8.bind(cpu.io)
  let polls = 0
  cpu.io.port_read8 = (port) => {
    if (port === statusPort) polls += 1
    return read(port)
  }
  machine.send('x')
  while (polls === 0 || cpu.in_hlt[0] === 0) await new Promise((resolve) => setImmediate(resolve))
  expect(polls).toBeLessThan(1000)
  open()
  expect(await machine.count()).toBe(2)
})

describe('a saved machine', () => {
  it('comes back with its disk, also in another page', async () => {
    const storage = memory()
    const image = await imageOf(storage)
    const { machine, disk } = await boot(image)
    await machine.count()
    const one = await disk.savevm('one')
    machine.send('x')
    expect(await machine.count()).toBe(2)
    await disk.savevm('two')
    machine.send('x')
    expect(await machine.count()).toBe(3)

    await disk.loadvm('one')
    expect(await countOf(image)).toBe(1)
    expect(machine.emulator.is_running()).toBe(true)
    machine.send('x')
    expect(await machine.count()).toBe(2)
    await disk.loadvm('two')
    expect(await countOf(image)).toBe(2)
    await machine.emulator.stop()
    await disk.close()
    await image.close()

    const path = save('machine.qcow2', storage.bytes())
    expect(check(path)).toBe('clean')
    const { snapshots } = json<{ snapshots: Record<string, unknown>[] }>('info', path)
    expect(snapshots).toMatchObject([{ name: 'one' }, { name: 'two' }])
    expect(Number(snapshots[0]?.['vm-state-size'])).toBe(one.vmStateSize)
    expect(one.vmClockNsec).toBeGreaterThan(0n)

    const again = await Qcow2.open(memory(storage.bytes().slice()), { writable: true })
    const fresh = await boot(again, {}, { autostart: false })
    await fresh.disk.loadvm(one.id)
    expect(fresh.machine.emulator.is_running()).toBe(false)
    await fresh.machine.emulator.run()
    fresh.machine.send('x')
    expect(await fresh.machine.count()).toBe(2)
  })

  it('is saved into another image where its own has no more room, and comes back from there', async () => {
    const storage = new FaultyStorage()
    const image = await imageOf(storage)
    const { machine, disk } = await boot(image, { onChange: () => {} })
    expect(await machine.count()).toBe(1)
    storage.fails = { write: true }
    storage.failure = Object.assign(new Error('no room'), { name: 'QuotaExceededError' })
    machine.send('x')
    await machine.hear(/The disk reports an error/)
    await expect(disk.savevm('here')).rejects.toMatchObject({ code: 'QUOTA' })
    const elsewhere = memory()
    const other = await Qcow2.create(elsewhere, { size })
    await expect(disk.savevm('a name', { into: await Qcow2.create(memory(), { size: 512 }) })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    const { vmStateSize } = await disk.savevm('there', { into: other })
    expect(vmStateSize).toBeGreaterThan(0)
    expect(await countOf(other)).toBe(1)

    const next = await boot(other, {}, { autostart: false })
    await next.disk.loadvm('there')
    await next.machine.emulator.run()
    next.machine.send('x')
    expect(await next.machine.count()).toBe(2)
    await next.machine.emulator.stop()
    await next.disk.close()
    await other.close()
    expect(check(save('elsewhere.qcow2', elsewhere.bytes()))).toBe('clean')
  })

  it('is refused if it is damaged, foreign or of another machine, and nothing changes', async () => {
    const image = await imageOf(memory())
    const { machine, disk } = await boot(image)
    await machine.count()
    const { id, vmStateSize } = await disk.savevm('good')
    const opened = await image.snapshots.open(id)
    const state = await opened.vmState.read(0, vmStateSize)
    await opened.close()
    const flipped = state.slice()
    flipped[state.length >> 1] = (flipped[state.length >> 1] ?? 0) ^ 1
    const header = state.slice()
    header[30] = (header[30] ?? 0) ^ 1
    const states: [string, Uint8Array | undefined][] = [
      ['a byte is flipped', flipped],
      ['the header is damaged', header],
      ['the end is missing', state.slice(0, -16)],
      ['the second half is missing', state.slice(0, state.length >> 1)],
      ['hardly anything is there', state.slice(0, 20)],
      ['QEMU has written it', new TextEncoder().encode(`QEVM${'\0'.repeat(100)}`)],
      ['there is none', undefined],
    ]
    machine.send('x')
    expect(await machine.count()).toBe(2)
    for (const [name, vmState] of states) {
      await image.snapshots.create(name, { vmState })
      await expect(disk.loadvm(name), name).rejects.toMatchObject({ code: 'BAD_MACHINE_STATE' })
      expect(await countOf(image)).toBe(2)
    }
    await expect(disk.loadvm('nothing')).rejects.toMatchObject({ code: 'NO_SUCH_SNAPSHOT' })
    machine.send('x')
    expect(await machine.count()).toBe(3)
    await machine.emulator.stop()
    await disk.close()

    const larger = await boot(image, {}, { memory_size: 32 * 1024 * 1024 })
    await expect(larger.disk.loadvm('good')).rejects.toMatchObject({ code: 'BAD_MACHINE_STATE' })
  })

  it('is refused while the guest waits for a request that failed', async () => {
    const storage = new FaultyStorage()
    const image = await imageOf(storage)
    let faulted = () => {}
    const fault = new Promise<void>((resolve) => {
      faulted = resolve
    })
    let decide = (_: 'retry' | 'fail') => {}
    const { machine, disk } = await boot(image, {
      onFault: () =>
        new Promise((resolve) => {
          decide = resolve
          faulted()
        }),
    })
    await machine.count()
    await disk.flush()
    storage.fails = { read: true }
    storage.failure = new Error('the line is down')
    machine.send('x')
    await fault
    await expect(disk.savevm('now')).rejects.toMatchObject({ code: 'FAULT_PENDING' })
    expect(image.snapshots.list()).toHaveLength(0)
    storage.failure = undefined
    decide('retry')
    expect(await machine.count()).toBe(2)
    await disk.savevm('now')
  })

  it('that is aborted leaves the image as it was, and the machine goes on', async () => {
    const image = await imageOf(new FaultyStorage())
    const { machine, disk } = await boot(image)
    await machine.count()
    const controller = new AbortController()
    const saving = disk.savevm('aborted', {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    })
    await expect(saving).rejects.toThrow('enough')
    expect(image.snapshots.list()).toHaveLength(0)
    machine.send('x')
    expect(await machine.count()).toBe(2)
  })

  it('has all of its disks', async () => {
    const [image, second] = [await imageOf(memory()), await Qcow2.create(memory(), { size })]
    const cdFile = memory()
    const made = await Qcow2.create(cdFile, { size: 2048 * 20 })
    await made.write(32768, new TextEncoder().encode('\u0001CD001'))
    await made.close()
    const cd = await Qcow2.open(memory(cdFile.bytes()))
    const [hdb, cdrom] = [v86Disk(second), v86Disk(cd)]
    const { machine, disk } = await boot(image, {}, { hdb, cdrom })
    for (const each of [hdb, cdrom]) await each.attach(machine.emulator)
    await machine.count()
    const write = (value: number) =>
      new Promise<void>((resolve) => hdb.set(0, new Uint8Array(512).fill(value), resolve))
    await write(1)
    await disk.savevm('all')
    expect(second.snapshots.list()).toMatchObject([{ name: 'all' }])
    await write(2)
    machine.send('x')
    await machine.count()
    await disk.loadvm('all')
    expect([await countOf(image), (await second.read(0, 1))[0]]).toEqual([1, 1])

    // Without the snapshot of the second disk, nothing is applied.
    await write(3)
    await second.snapshots.delete('all')
    machine.send('x')
    await machine.count()
    await expect(disk.loadvm('all')).rejects.toMatchObject({ code: 'BAD_MACHINE_STATE' })
    expect([await countOf(image), (await second.read(0, 1))[0]]).toEqual([2, 3])
  })
})

describe("v86's own states", () => {
  it('go back to the disk that belongs to them', async () => {
    const image = await imageOf(memory())
    const { machine, disk } = await boot(image)
    await machine.count()
    const state = await machine.emulator.save_state()
    await disk.idle()
    machine.send('x')
    expect(await machine.count()).toBe(2)
    await machine.emulator.restore_state(state)
    await disk.idle()
    expect(await countOf(image)).toBe(1)
    machine.send('x')
    expect(await machine.count()).toBe(2)
  })

  it('do not hold the disk, and are refused by another image', async () => {
    const image = await imageOf(memory())
    const { machine, disk } = await boot(image)
    await machine.count()
    const state = await machine.emulator.save_state()
    await disk.idle()
    expect(image.snapshots.list()).toHaveLength(1)
    // The disk has not changed since: it is the same snapshot.
    await machine.emulator.save_state()
    await disk.idle()
    expect(image.snapshots.list()).toHaveLength(1)

    const other = await boot(await imageOf(memory()))
    await other.machine.count()
    await other.machine.emulator.stop()
    await expect(other.machine.emulator.restore_state(state)).rejects.toMatchObject({ code: 'BAD_MACHINE_STATE' })
  })
})

it('a machine that does not have the disk is refused', async () => {
  const { machine } = await boot(await imageOf(memory()))
  const disk = v86Disk(await Qcow2.create(memory(), { size }))
  await expect(disk.attach(machine.emulator)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

it('what a v86 with other names cannot do is reported', async () => {
  const { machine } = await boot(await imageOf(memory()))
  const { emulator } = machine
  const ide = { primary: { master: { buffer: undefined as unknown } } }
  const renamed = {
    ...(emulator as object),
    v86: { cpu: { devices: { ide } } },
    is_running: () => false,
    add_listener() {},
    remove_listener() {},
  }
  const disk = v86Disk(await Qcow2.create(memory(), { size }))
  ide.primary.master.buffer = disk
  expect(await disk.attach(renamed as never)).toEqual({ flush: false, errors: false })
})
