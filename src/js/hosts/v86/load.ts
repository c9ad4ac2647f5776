import { type Qcow2, Qcow2Error, type Snapshot, type SnapshotDisk } from '../../index.js'
import { type FrameHeader, type FrameSource, readHeader, readState } from './frame.js'
import type { Machine } from './machine.js'
import type { MachineDisk } from './machine-disk.js'
import { bad } from './record.js'
import type { V86LoadOptions } from './types.js'

/** What v86's own states begin with. */
const stateMagic = 0x86768676
/** What a state may be longer than the memory: devices, and the memory of the graphics. */
const mostBesideMemory = 1024 * 1024 * 1024

/** A saved machine that was read and fits the running one. */
interface Saved {
  readonly header: FrameHeader
  readonly state: ArrayBuffer
  readonly snapshot: Snapshot
  /** The disks that go back, each to its snapshot. */
  readonly back: readonly { readonly disk: MachineDisk; readonly id: string; readonly writeCache: boolean }[]
}

/** Loads a machine that {@link saveMachine} has saved. */
export async function loadMachine(
  machine: Machine,
  disk: MachineDisk,
  idOrName: string,
  { signal }: V86LoadOptions,
): Promise<void> {
  signal?.throwIfAborted()
  await machine.paused(async (keepPaused) => {
    const saved = await read(machine, disk, idOrName, signal)
    signal?.throwIfAborted()
    await apply(machine, saved, keepPaused)
  })
}

/** Reads everything and checks that it fits, without changing anything. */
async function read(machine: Machine, disk: MachineDisk, idOrName: string, signal?: AbortSignal): Promise<Saved> {
  const snapshot = find(disk.image, idOrName)
  const opened = await disk.image.snapshots.open(snapshot.id)
  try {
    const source = sourceOf(opened, signal)
    const { header, end } = await readHeader(source)
    if (header.stateLength === 0)
      throw bad('the snapshot is of another disk of the machine; load it by the disk that was saved')
    if (header.stateLength > machine.memorySize + mostBesideMemory) throw bad('it is corrupt')
    if (header.memorySize !== machine.memorySize)
      throw bad(`it is of a machine with ${header.memorySize} bytes of memory; this one has ${machine.memorySize}`)
    const back = await match(machine, disk, snapshot, header)
    const state = await readState(source, header, end)
    const words = new DataView(state)
    if (
      state.byteLength < 16 ||
      words.getUint32(0, true) !== stateMagic ||
      words.getUint32(8, true) !== state.byteLength
    )
      throw bad('it is corrupt')
    await sameVersion(machine, words.getUint32(4, true))
    return { header, state, snapshot, back }
  } finally {
    // A snapshot that is open could not be deleted.
    await opened.close()
  }
}

/** Finds the disks of a saved machine, and their snapshots. */
async function match(
  machine: Machine,
  main: MachineDisk,
  snapshot: Snapshot,
  header: FrameHeader,
): Promise<Saved['back']> {
  const { disks } = machine
  const roles = (list: readonly { readonly role: string }[]) => list.map(({ role }) => role).join(', ') || 'none'
  if (roles(disks) !== roles(header.disks))
    throw bad(`its disks are ${roles(header.disks)}; this machine has ${roles(disks)}`)
  const back: { readonly disk: MachineDisk; readonly id: string; readonly writeCache: boolean }[] = []
  for (const [index, { role, disk }] of disks.entries()) {
    const saved = header.disks[index]
    if (!saved) continue
    const { image } = disk
    if (saved.snapshot !== !image.readOnly)
      throw bad(`${role} was ${saved.snapshot ? '' : 'not '}writable when it was saved`)
    if (!saved.snapshot) {
      if (saved.size !== image.size || saved.identity !== disk.identity) throw bad(`${role} holds another image`)
      continue
    }
    const id = disk === main ? snapshot.id : await findSave(image, header.save)
    if (id === undefined) throw bad(`the image of ${role} has no snapshot that belongs to it`)
    back.push({ disk, id, writeCache: saved.writeCache })
  }
  return back
}

/**
 * Checks that this v86 has the version of the state. v86 compares the versions first and the lengths next, before it changes
 * anything; so a state of the wrong length shows another version.
 */
async function sameVersion({ emulator }: Machine, version: number): Promise<void> {
  const probe = new DataView(new ArrayBuffer(32))
  for (const [index, word] of [stateMagic, version, 0, 0].entries()) probe.setUint32(4 * index, word, true)
  const refused = await emulator.restore_state(probe.buffer).then(
    () => undefined,
    (error: unknown) => error,
  )
  const words = String((refused as { message?: unknown } | undefined)?.message)
  if (/version/i.test(words)) throw bad('another version of v86 has saved it', refused)
}

async function apply(
  machine: Machine,
  { header, state, snapshot, back }: Saved,
  keepPaused: () => void,
): Promise<void> {
  for (const [index, { disk, id }] of back.entries()) {
    try {
      await disk.exclusive(() => disk.image.snapshots.apply(id))
    } catch (error) {
      // The first one is all or nothing. After it, the running machine no longer fits its disks.
      if (index > 0) keepPaused()
      throw error
    }
  }
  try {
    for (const { disk } of back) await disk.refresh()
    for (const { disk } of machine.disks) disk.record.managed = header.save
    await machine.emulator.restore_state(state)
  } catch (error) {
    keepPaused()
    throw bad('v86 refused it, and the disks have gone back already', error)
  } finally {
    for (const { disk } of machine.disks) disk.record.managed = undefined
  }
  for (const { disk, writeCache } of back) disk.writeCache = writeCache
  machine.clockNsec = snapshot.vmClockNsec
}

/** A snapshot by its id, or else by its name, as QEMU looks them up. */
function find({ snapshots }: Qcow2, idOrName: string): Snapshot {
  const list = snapshots.list()
  const found = list.find(({ id }) => id === idOrName) ?? list.find(({ name }) => name === idOrName)
  if (found) return found
  throw new Qcow2Error('NO_SUCH_SNAPSHOT', `There is no snapshot with the id or name '${idOrName}'.`)
}

/** The id of the snapshot that belongs to a save. */
async function findSave(image: Qcow2, save: string): Promise<string | undefined> {
  for (const { id, vmStateSize } of image.snapshots.list()) {
    if (vmStateSize === 0) continue
    const opened = await image.snapshots.open(id)
    try {
      const { header } = await readHeader(sourceOf(opened)).catch(() => ({ header: undefined }))
      if (header?.save === save) return id
    } finally {
      await opened.close()
    }
  }
  return undefined
}

function sourceOf({ vmState }: SnapshotDisk, signal?: AbortSignal): FrameSource {
  return {
    length: vmState.size,
    read: (offset, length) => vmState.read(offset, length, { signal }),
  }
}
