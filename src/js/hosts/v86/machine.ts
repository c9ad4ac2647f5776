import { Qcow2Error } from '../../index.js'
import { isLoaded, memorySize, roleOf } from './ide.js'
import type { MachineDisk } from './machine-disk.js'
import type { V86Like } from './types.js'
import { Wake } from './wake.js'

/** The machines that have disks of this package. */
const machines = new WeakMap<object, Machine>()

/** Waits until a machine has its devices. Its disks can be hooked then, before the guest runs. */
export function loaded(emulator: V86Like, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    if (isLoaded(emulator)) return resolve()
    const end = (complete: () => void) => {
      emulator.remove_listener('emulator-loaded', found)
      signal?.removeEventListener('abort', abort)
      complete()
    }
    const found = () => end(resolve)
    const abort = () => end(() => reject(signal?.reason))
    emulator.add_listener('emulator-loaded', found)
    signal?.addEventListener('abort', abort)
  })
}

/** A machine and its disks. */
export class Machine {
  readonly emulator: V86Like
  readonly #disks = new Set<MachineDisk>()
  #wake: Wake | undefined
  #busy = false
  /** How long the machine ran until it was last started, in milliseconds, and when that was. */
  #ran = 0
  #started: number | undefined

  static of(emulator: V86Like): Machine {
    const known = machines.get(emulator)
    if (known) return known
    const machine = new Machine(emulator)
    machines.set(emulator, machine)
    return machine
  }

  private constructor(emulator: V86Like) {
    this.emulator = emulator
    if (emulator.is_running()) this.#started = performance.now()
    emulator.add_listener('emulator-started', () => {
      this.#started ??= performance.now()
    })
    emulator.add_listener('emulator-stopped', () => {
      this.#ran = this.#elapsed()
      this.#started = undefined
      for (const disk of this.#disks) disk.stopped()
    })
  }

  /** How long the machine has run, in nanoseconds. */
  get clockNsec(): bigint {
    return BigInt(Math.round(this.#elapsed() * 1000)) * 1000n
  }

  set clockNsec(value: bigint) {
    this.#ran = Number(value / 1000n) / 1000
    if (this.#started !== undefined) this.#started = performance.now()
  }

  /** The size of the memory in bytes; 0 if this v86 does not let it be known. */
  get memorySize(): number {
    return memorySize(this.emulator) ?? 0
  }

  /** The disks that are in a drive, in the order of the drives. */
  get disks(): { readonly role: string; readonly disk: MachineDisk }[] {
    const disks = [...this.#disks].flatMap((disk) => {
      const role = roleOf(this.emulator, disk)
      return role === undefined ? [] : [{ role, disk }]
    })
    return disks.sort((one, other) => (one.role < other.role ? -1 : 1))
  }

  /** Adds a disk. Returns what lets the machine go on soon after the disk's answers, if this v86 can be hooked there. */
  add(disk: MachineDisk): Wake | undefined {
    this.#disks.add(disk)
    this.#wake ??= Wake.of(this.emulator)
    return this.#wake
  }

  delete(disk: MachineDisk): void {
    this.#disks.delete(disk)
    if (this.#disks.size > 0) return
    this.#wake?.close()
    this.#wake = undefined
  }

  /**
   * Runs `work` while the machine is paused and its disks are idle, and resumes the machine if it ran. `work` may call
   * `keepPaused`.
   */
  async paused<T>(work: (keepPaused: () => void) => Promise<T>): Promise<T> {
    if (this.#busy) throw new Qcow2Error('BUSY', 'The machine is being saved or loaded. Wait until that is done.')
    this.#busy = true
    let resume = this.emulator.is_running()
    try {
      await this.emulator.stop()
      for (const { disk } of this.disks) await disk.quiet()
      return await work(() => {
        resume = false
      })
    } finally {
      this.#busy = false
      if (resume) await this.emulator.run()
    }
  }

  #elapsed(): number {
    return this.#ran + (this.#started === undefined ? 0 : performance.now() - this.#started)
  }
}
