/** The part of v86's processor that lets it sleep, under v86's own names. */
export interface RestingCpu {
  /** One byte: 1 while the processor waits for an interrupt. v86 wraps it in a proxy, which is no array. */
  readonly in_hlt: { 0: number }
  /** Lets the emulator run immediately if it waits. */
  stop_idling(): void
}

/** How often a guest reads the status of a drive that waits before it is known to do nothing else. */
const polls = 64

/**
 * Lets the processor sleep while its guest polls a drive that waits for the image.
 *
 * A BIOS reads the status of the drive again and again until a sector is there. That costs the browser a whole processor, and
 * holds up the very answer that the guest waits for. An interrupt wakes the processor too, so clocks go on.
 */
export class Rest {
  #polls = 0
  #asleep: RestingCpu | undefined

  /** The guest has read the status while a request is pending. */
  polled(cpu: RestingCpu): void {
    this.#polls += 1
    if (this.#polls <= polls) return
    cpu.in_hlt[0] = 1
    this.#asleep = cpu
  }

  /** The status may have changed. */
  wake(): void {
    this.#polls = 0
    const cpu = this.#asleep
    if (!cpu) return
    this.#asleep = undefined
    cpu.in_hlt[0] = 0
    cpu.stop_idling()
  }
}

/** True if this v86 has what a sleeping processor takes. */
export function canRest(cpu: unknown): cpu is RestingCpu {
  const { in_hlt, stop_idling } = (cpu ?? {}) as Partial<RestingCpu>
  return typeof in_hlt?.[0] === 'number' && typeof stop_idling === 'function'
}
