import { convert, type Qcow2, Qcow2Error, type Snapshot } from '../../index.js'
import { type FrameHeader, frame } from './frame.js'
import type { Machine } from './machine.js'
import type { MachineDisk } from './machine-disk.js'
import { token } from './record.js'
import type { V86SaveOptions } from './types.js'

/** Saves the machine of a disk: the disk's image gets the state, the images of the other disks a snapshot of the same name. */
export async function saveMachine(
  machine: Machine,
  disk: MachineDisk,
  name: string,
  options: V86SaveOptions,
): Promise<Snapshot> {
  const { signal, into } = options
  signal?.throwIfAborted()
  const target = into ?? disk.image
  if (target.readOnly) throw new Qcow2Error('READ_ONLY', 'The image is not writable, so it takes no snapshot.')
  if (target.size !== disk.image.size) {
    const reason = `The disk has ${disk.image.size} bytes; the image to save into has ${target.size}. Make it as large.`
    throw new Qcow2Error('INVALID_ARGUMENT', reason)
  }
  return machine.paused(async () => {
    const save = token()
    const state = new Uint8Array(await stateOf(machine, save))
    const header = headerOf(machine, disk, save)
    const others = machine.disks.filter((each) => each.disk !== disk && !each.disk.image.readOnly)
    const created: { readonly image: Qcow2; readonly id: string }[] = []
    try {
      for (const { disk: other } of others) {
        const { id } = await snapshot(machine, other.image, name, { header, state: new Uint8Array(0) }, options)
        created.push({ image: other.image, id })
      }
      if (into) await disk.exclusive(() => convert(disk.image, into, { signal }))
      // Last: a save is complete once the state is there.
      return await snapshot(machine, target, name, { header: { ...header, stateLength: state.length }, state }, options)
    } catch (error) {
      // What is in the way of a deletion is of less interest than what was in the way of the save.
      for (const { image, id } of created) await image.snapshots.delete(id).catch(() => {})
      throw error
    }
  })
}

/** Takes the state of the machine, in which the disks record that they belong to `save`. */
async function stateOf(machine: Machine, save: string): Promise<ArrayBuffer> {
  const disks = machine.disks.map(({ disk }) => disk)
  for (const { record } of disks) record.managed = save
  try {
    return await machine.emulator.save_state()
  } finally {
    for (const { record } of disks) record.managed = undefined
  }
}

function headerOf(machine: Machine, main: MachineDisk, save: string): FrameHeader {
  const disks = machine.disks.map(({ role, disk }) => ({
    role,
    size: disk.image.size,
    // That of the main disk may be another image's.
    snapshot: disk === main || !disk.image.readOnly,
    identity: disk.identity,
    writeCache: disk.writeCache === true,
  }))
  return { emulator: 'v86', save, memorySize: machine.memorySize, stateLength: 0, disks }
}

function snapshot(
  machine: Machine,
  image: Qcow2,
  name: string,
  { header, state }: { readonly header: FrameHeader; readonly state: Uint8Array },
  { signal, onProgress }: V86SaveOptions,
): Promise<Snapshot> {
  const total = state.length
  const parts = frame(header, state, (done) => onProgress?.({ done, total }))
  return image.snapshots.create(name, { vmState: streamOf(parts), vmClockNsec: machine.clockNsec, signal })
}

/** A stream that takes the next part when the one before is written. */
function streamOf(parts: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const next = await parts.next()
    if (next.done) controller.close()
    else controller.enqueue(next.value)
  }
  const cancel = async () => {
    await parts.return(undefined)
  }
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 })
}
