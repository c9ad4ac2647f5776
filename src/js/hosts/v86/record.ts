import { Qcow2Error } from '../../index.js'
import type { DiskRecord, MachineDisk } from './machine-disk.js'

const magic = 'qcow2-web disk'
const version = 1

/**
 * What a state of the machine records of a disk, instead of its contents: the snapshot that has them.
 *
 * v86 asks for it without waiting. So the snapshot is only queued here: it is created after the guest's requests so far, and
 * before all later ones. A disk that is not writable is known by its size and a checksum of its first bytes.
 */
export class StateRecord implements DiskRecord {
  readonly #disk: MachineDisk
  /** The snapshot of the last state, while the disk has not changed since. */
  #last: { readonly name: string; readonly writes: number } | undefined
  /** Snapshots that are queued. */
  readonly #coming = new Set<string>()
  /** Set while this package saves or loads the machine, and takes care of the snapshot itself. */
  managed: string | undefined

  constructor(disk: MachineDisk) {
    this.#disk = disk
  }

  save(): unknown[] {
    const { image } = this.#disk
    const snapshot = this.managed ?? (!image.readOnly ? this.#snapshot() : '')
    return [magic, version, image.size, snapshot, this.#disk.identity]
  }

  restore(state: unknown): void {
    const [found, its, size, snapshot, identity] = Array.isArray(state) ? (state as unknown[]) : []
    if (found !== magic || its !== version)
      throw bad('it has the disk in another form, not as an image of this package')
    if (this.managed !== undefined && snapshot === this.managed) return
    const { image } = this.#disk
    if (image.readOnly) {
      if (size !== image.size || identity !== this.#disk.identity) throw bad('it belongs to another image')
      return
    }
    if (typeof snapshot !== 'string' || !this.#has(snapshot))
      throw bad('it belongs to another image, or the snapshot with its disk was deleted')
    void this.#disk
      .exclusive(async () => {
        await image.snapshots.apply(snapshot)
        await this.#disk.refresh()
        this.#last = { name: snapshot, writes: this.#disk.writes }
      })
      .catch((error) => this.#disk.report(error))
  }

  #has(name: string): boolean {
    return this.#coming.has(name) || this.#disk.image.snapshots.list().some((each) => each.name === name)
  }

  /** The name of a snapshot of the disk as it is now. */
  #snapshot(): string {
    const { image } = this.#disk
    if (this.#last?.writes === this.#disk.writes && this.#disk.isIdle && this.#has(this.#last.name))
      return this.#last.name
    const name = `v86 state ${token()}`
    this.#coming.add(name)
    void this.#disk
      .exclusive(async () => {
        await image.snapshots.create(name)
        this.#last = { name, writes: this.#disk.writes }
      })
      .catch((error) => this.#disk.report(error))
      .finally(() => this.#coming.delete(name))
    return name
  }
}

/** A state that is refused. */
export function bad(why: string, cause?: unknown): Qcow2Error {
  return new Qcow2Error('BAD_MACHINE_STATE', `The state of the machine can't be used: ${why}.`, { cause })
}

/** A 32-bit checksum, fast enough for a machine's memory. */
export function checksum(bytes: Uint8Array): number {
  const whole = bytes.length & ~3
  const aligned = (bytes.byteOffset & 3) === 0 ? bytes : bytes.slice()
  const words = new Int32Array(aligned.buffer, aligned.byteOffset, whole / 4)
  let sum = 0x811c9dc5 ^ bytes.length
  for (const word of words) sum = Math.imul(sum ^ word, 0x01000193) ^ (sum >>> 15)
  for (const byte of bytes.subarray(whole)) sum = Math.imul(sum ^ byte, 0x01000193) ^ (sum >>> 15)
  return sum >>> 0
}

/** A random name, which no two saved states share. */
export function token(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
