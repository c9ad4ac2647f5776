/** The part of v86's main loop that plans its turns, under v86's own names. */
interface MainLoop {
  /** The worker that reminds the loop of its next turn; there is none outside browsers. */
  readonly worker: unknown
  /** Asks for a reminder of the turn `tick` in `delay` milliseconds. */
  yield(delay: number, tick: number): void
  /** Takes the turn `tick`, unless a later one is planned by now. */
  yield_callback(tick: number): void
}

/**
 * Lets a processor that an answer wakes go on soon.
 *
 * v86 asks a worker to remind it of each turn. After an answer that the guest slept for, that way through another thread costs as
 * much as the answer itself. Here the reminder of that one turn is a message to the page itself, so it is still a task of its
 * own: the page draws and hears its user in between.
 */
export class Wake {
  readonly #loop: MainLoop
  readonly #reminders = new MessageChannel()
  #answering = false

  /** Hooks the main loop of a machine; `undefined` if this v86 needs no worker, or has other names. */
  static of(emulator: object): Wake | undefined {
    const loop = (emulator as { readonly v86?: Partial<MainLoop> }).v86
    return isMainLoop(loop) && loop.worker ? new Wake(loop) : undefined
  }

  private constructor(loop: MainLoop) {
    this.#loop = loop
    const original = loop.yield
    loop.yield = (delay, tick) => {
      if (this.#answering && delay < 1) this.#reminders.port2.postMessage(tick)
      else original.call(loop, delay, tick)
    }
    this.#reminders.port1.onmessage = ({ data }) => loop.yield_callback(data)
  }

  /** Answers the guest. */
  answer(answer: () => void): void {
    this.#answering = true
    try {
      answer()
    } finally {
      this.#answering = false
    }
  }

  /** Gives the main loop back to v86. A turn that is planned still comes. */
  close(): void {
    // The method of v86's own class shows again.
    Reflect.deleteProperty(this.#loop, 'yield')
    this.#reminders.port2.close()
  }
}

function isMainLoop(loop: Partial<MainLoop> | undefined): loop is MainLoop {
  return typeof loop?.yield === 'function' && typeof loop.yield_callback === 'function'
}
