import { canRest, type RestingCpu } from './rest.js'
import type { V86Hooks } from './types.js'

// The part of v86 0.5.462 that is not in its declarations: the registers and methods of an IDE drive, under v86's own names.

/** A channel of the IDE controller, with two drives. */
interface Channel {
  readonly master: Drive
  readonly slave: Drive
  readonly current_interface: Drive
  readonly cpu: unknown
  dma_status: number
  read_status(): number
}

/** A drive of the IDE controller. */
export interface Drive {
  readonly channel: Channel
  /** The disk that was given to v86 for this drive. */
  buffer: DriveBuffer | null
  readonly is_atapi: boolean
  readonly features_reg: number
  status_reg: number
  error_reg: number
  current_command: number
  readonly data: Uint8Array
  data_pointer: number
  data_length: number
  data_end: number
  readonly write_dest: number
  readonly in_progress_io_ids: Map<number, AbortController>
  ata_command(command: number): void
  create_identify_packet(): void
  do_write(): void
  device_reset(): void
  ata_advance(command: number, sectors: number): void
  atapi_check_condition_response(senseKey: number, additionalSense: number): void
  push_irq(): void
  report_write(length: number): void
}

interface DriveBuffer {
  set(offset: number, bytes: Uint8Array, done: () => void): void
}

/** A disk, as the hooks call it. */
export interface HookedDisk {
  /** The write cache, as the guest sees it; `undefined` where the drive has none. */
  writeCache: boolean | undefined
  /** Makes durable what was written, then calls `done`. It calls neither before it returns: see {@link flushCommand}. */
  flushCommand(done: () => void): void
  /** The guest has reset the drive: it expects no answer to earlier requests. */
  reset(): void
  /** The guest has read the status of the drive. */
  polled(cpu: RestingCpu): void
}

const command = { standbyImmediate: 0xe0, flush: 0xe7, flushExt: 0xea, setFeatures: 0xef } as const
const feature = { enableWriteCache: 0x02, disableWriteCache: 0x82 } as const
const status = { ready: 0x50, busy: 0xd0, error: 0x51 } as const
const errorBit = { abort: 0x04, uncorrectable: 0x40 } as const
const sense = { mediumError: 0x03, unrecoveredRead: 0x11 } as const
const dmaActive = 0x01

/** The hooked disks, by what v86 knows of them: a disk keeps its hooks when it goes into another drive. */
const disks = new WeakMap<object, HookedDisk>()
/** The classes of drives and channels that are hooked, for a page may load v86 more than once. */
const hooked = new WeakSet<object>()

/**
 * Hooks a disk into the machine's drives.
 *
 * @returns what could be hooked, and the drive; `undefined` for a machine whose drives are known and don't have the disk.
 */
export function hook(
  emulator: object,
  buffer: object,
  disk: HookedDisk,
): { readonly hooks: V86Hooks; readonly drive: Drive | undefined } | undefined {
  const drives = drivesOf(emulator)
  const drive = drives.find((each) => each.buffer === buffer)
  const [any] = drives
  if (!any) return { hooks: { flush: false, errors: false }, drive: undefined }
  if (!drive) return undefined
  const flush = hasFlush(drive)
  const errors = flush && hasErrors(drive)
  if (flush) {
    disks.set(buffer, disk)
    hookClass(Object.getPrototypeOf(drive), errors)
    hookStatus(drive.channel)
  }
  return { hooks: { flush, errors }, drive: errors ? drive : undefined }
}

/** Takes the hooks off a disk. */
export function unhook(buffer: object): void {
  disks.delete(buffer)
}

/** True once the machine has its devices. */
export function isLoaded(emulator: object): boolean {
  return devicesOf(emulator) !== undefined
}

/** The size of the machine's memory in bytes, or `undefined` if this v86 has it elsewhere. */
export function memorySize(emulator: object): number | undefined {
  const size = (emulator as Internals).v86?.cpu?.memory_size?.[0]
  return typeof size === 'number' ? size : undefined
}

/** The name by which v86's options call the drive, such as `hda`. */
export function roleOf(emulator: object, buffer: object): string | undefined {
  const ide = devicesOf(emulator)?.ide
  const names = [
    ['hda', ide?.primary?.master],
    ['hdb', ide?.primary?.slave],
    ['cdrom', ide?.secondary?.master],
    ['cdrom2', ide?.secondary?.slave],
  ] as const
  return names.find(([, drive]) => drive?.buffer === buffer)?.[0]
}

interface Devices {
  readonly ide?: { readonly primary?: Channel; readonly secondary?: Channel }
}

interface Internals {
  readonly v86?: { readonly cpu?: { readonly devices?: Devices; readonly memory_size?: ArrayLike<number> } }
}

function devicesOf(emulator: object): Devices | undefined {
  const devices = (emulator as Internals).v86?.cpu?.devices
  return devices?.ide ? devices : undefined
}

function drivesOf(emulator: object): Drive[] {
  const ide = devicesOf(emulator)?.ide
  const channels = [ide?.primary, ide?.secondary]
  return channels.flatMap((channel) => [channel?.master, channel?.slave]).filter((drive) => drive !== undefined)
}

const areFunctions = (drive: object, ...names: (keyof Drive)[]) =>
  names.every((name) => typeof (drive as Drive)[name] === 'function')
const areNumbers = (drive: object, ...names: (keyof Drive)[]) =>
  names.every((name) => typeof (drive as Drive)[name] === 'number')

function hasFlush(drive: Drive): boolean {
  return (
    areFunctions(drive, 'ata_command', 'create_identify_packet', 'device_reset', 'push_irq') &&
    areNumbers(drive, 'status_reg', 'error_reg', 'features_reg', 'current_command') &&
    drive.data instanceof Uint8Array
  )
}

function hasErrors(drive: Drive): boolean {
  return (
    areFunctions(drive, 'do_write', 'ata_advance', 'atapi_check_condition_response', 'report_write') &&
    areNumbers(drive, 'data_pointer', 'data_length', 'data_end', 'write_dest') &&
    typeof drive.channel?.dma_status === 'number' &&
    drive.in_progress_io_ids instanceof Map
  )
}

/**
 * Hooks a class of drives. v86 seals its drives, so the methods are replaced for all of them; a drive whose disk is not
 * hooked behaves as before.
 */
function hookClass(drives: Drive, errors: boolean): void {
  if (hooked.has(drives)) return
  hooked.add(drives)
  const { ata_command, create_identify_packet, device_reset, do_write } = drives
  const diskOf = (drive: Drive) => (drive.buffer ? disks.get(drive.buffer) : undefined)

  drives.ata_command = function (this: Drive, number) {
    const disk = diskOf(this)
    if (!disk || this.is_atapi || !handles(this, disk, number)) ata_command.call(this, number)
  }
  drives.create_identify_packet = function (this: Drive) {
    create_identify_packet.call(this)
    const cache = diskOf(this)?.writeCache
    if (cache === undefined || this.is_atapi) return
    // Words 82 and 85: the drive has a write cache, and the cache is enabled. v86 itself sets the bits of both flush commands.
    this.data[164] = (this.data[164] ?? 0) | 0x20
    if (cache) this.data[170] = (this.data[170] ?? 0) | 0x20
  }
  drives.device_reset = function (this: Drive) {
    diskOf(this)?.reset()
    device_reset.call(this)
  }
  if (!errors) return
  drives.do_write = function (this: Drive) {
    if (diskOf(this)) writeSectors(this)
    else do_write.call(this)
  }
}

/** Hooks the status of the drives, so that the processor can rest while a guest polls it. Without it, that only takes longer. */
function hookStatus(channel: Channel): void {
  const channels: Channel = Object.getPrototypeOf(channel)
  if (hooked.has(channels) || !canRest(channel.cpu) || typeof channels.read_status !== 'function') return
  hooked.add(channels)
  const { read_status } = channels
  channels.read_status = function (this: Channel) {
    const { buffer } = this.current_interface
    if (buffer && canRest(this.cpu)) disks.get(buffer)?.polled(this.cpu)
    return read_status.call(this)
  }
}

/** Carries out the commands of a write cache; false for all others. */
function handles(drive: Drive, disk: HookedDisk, number: number): boolean {
  if (number === command.flush || number === command.flushExt || number === command.standbyImmediate) {
    flushCommand(drive, disk, number)
    return true
  }
  if (number === command.setFeatures && disk.writeCache !== undefined) {
    const which = drive.features_reg & 0xff
    if (which === feature.enableWriteCache) disk.writeCache = true
    if (which === feature.disableWriteCache) disk.writeCache = false
  }
  return false
}

function flushCommand(drive: Drive, disk: HookedDisk, number: number): void {
  drive.current_command = number
  drive.error_reg = 0
  drive.status_reg = status.busy
  // Never before this command returns: v86 then lowers the interrupt line.
  disk.flushCommand(() => {
    drive.status_reg = status.ready
    drive.push_irq()
  })
}

/**
 * Writes the sectors that the guest sent through the data port. v86 reports the end before it writes; here the drive is busy
 * until the disk has them, so that the guest sees an error, and no later command overtakes the write.
 */
function writeSectors(drive: Drive): void {
  const sectors = drive.data_length / 512
  drive.status_reg = status.busy
  drive.buffer?.set(drive.write_dest, drive.data.subarray(0, drive.data_length), () => {
    drive.status_reg = status.ready
    drive.ata_advance(drive.current_command, sectors)
    drive.push_irq()
  })
  drive.report_write(drive.data_length)
}

/** Ends the drive's command with an error, which the guest's driver reports as an I/O error. */
export function failCommand(drive: Drive, kind: 'read' | 'write' | 'flush', signal: AbortSignal | undefined): void {
  forget(drive, signal)
  drive.channel.dma_status &= ~dmaActive
  if (drive.is_atapi) {
    drive.atapi_check_condition_response(sense.mediumError, sense.unrecoveredRead)
  } else {
    // The guest's driver does not repeat a read of uncorrectable data. It repeats all other failed reads and writes.
    drive.error_reg = kind === 'flush' ? errorBit.abort : errorBit.uncorrectable
    drive.status_reg = status.error
    drive.data_pointer = 0
    drive.data_end = 0
    drive.data_length = 0
    drive.current_command = -1
  }
  drive.push_irq()
}

/** Takes a read out of v86's list of those that a reset has to abort. */
function forget(drive: Drive, signal: AbortSignal | undefined): void {
  for (const [id, controller] of drive.in_progress_io_ids)
    if (controller.signal === signal) drive.in_progress_io_ids.delete(id)
}
