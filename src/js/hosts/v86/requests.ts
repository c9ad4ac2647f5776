import { Qcow2Error } from '../../index.js'
import { asError, type Decide, Faults } from './faults.js'
import { type Drive, failCommand } from './ide.js'
import { Queue } from './queue.js'
import { Rest, type RestingCpu } from './rest.js'
import type { V86DiskOptions, V86Request } from './types.js'
import type { Wake } from './wake.js'

/** A request, and how it is served. */
export interface Served<T> {
  readonly request: V86Request
  /** Asks the image. */
  readonly serve: () => Promise<T>
  /** Asks for what can be answered without waiting; `undefined` if it can't. Some guests reset a drive that answers late. */
  readonly serveNow?: () => T | undefined
  /** Answers the guest. */
  readonly answer: (value: T) => void
  /** Aborted when the guest no longer waits for the answer. */
  readonly signal?: AbortSignal | undefined
  /** True for a flush of the disk's own, whose failure the guest learns with its next flush. */
  readonly internal?: boolean
}

/** What {@link Requests} calls. */
export interface RequestEvents {
  /** What is pending, or what failed, may have changed. */
  onChange(): void
  /** A request has failed, and no answer carries the error to the guest now. */
  onUnheard(error: Qcow2Error): void
}

/** Serves the requests of a drive, one after another. The guest gets the answer of each, or an error, or has reset the drive. */
export class Requests {
  /** The drive that reports errors to the guest, once it is hooked. */
  drive: Drive | undefined
  /** Lets the machine go on soon after an answer, once it is hooked. */
  wake: Wake | undefined
  readonly #faults: Faults
  readonly #events: RequestEvents
  readonly #rest = new Rest()
  readonly #queue: Queue
  /** Counts resets: the guest expects no answer to requests from before the last one. */
  #epoch = 0
  #failed: Qcow2Error | undefined
  /** The error of the request that waits for a decision, or that was never answered. */
  #fault: Qcow2Error | undefined
  /** Called when a request fails. */
  #faulted = () => {}
  /** The error of a flush of the disk's own, which the guest's next flush must report. */
  #lostFlush: Qcow2Error | undefined
  #closed = false

  constructor(onFault: V86DiskOptions['onFault'], events: RequestEvents) {
    this.#faults = new Faults(onFault)
    this.#events = events
    this.#queue = new Queue(() => {
      this.#rest.wake()
      events.onChange()
    })
  }

  /** How many requests are not answered yet. */
  get pending(): number {
    return this.#queue.pending
  }

  /** The error of the last request, if it failed. */
  get failed(): Qcow2Error | undefined {
    return this.#failed
  }

  /** Serves a request in its turn. */
  submit<T>(served: Served<T>): void {
    this.#queue.push(() => {
      if (served.signal?.aborted) return undefined
      let value: T | undefined
      try {
        value = served.serveNow?.()
      } catch (thrown) {
        return this.#serve(served, asError(thrown))
      }
      if (value === undefined) return this.#serve(served)
      this.#answer(served.answer, value)
      return undefined
    })
    this.#events.onChange()
  }

  /** Runs `work` in the order of the requests, which wait for it. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#queue.push(() => work().then(resolve, reject))
    })
  }

  /** Waits until no request is pending. */
  idle(): Promise<void> {
    return this.#queue.idle()
  }

  /** Waits until no request is pending; rejects as soon as one of them fails. */
  async quiet(): Promise<void> {
    while (this.pending > 0 && !this.#fault) {
      const faulted = new Promise<void>((resolve) => {
        this.#faulted = resolve
      })
      await Promise.race([this.idle(), faulted])
    }
    if (!this.#fault) return
    const reason = `The guest waits for a request that failed: ${this.#fault.reason}`
    throw new Qcow2Error('FAULT_PENDING', reason, { cause: this.#fault })
  }

  /** The guest has reset the drive: it expects no answer to earlier requests. */
  reset(): void {
    this.#epoch += 1
    this.#rest.wake()
  }

  /** The guest looks whether the drive is ready. */
  polled(cpu: RestingCpu): void {
    if (this.pending > 0) this.#rest.polled(cpu)
  }

  /** Returns a function that answers a request, unless the guest has reset the drive since. */
  unlessReset<A extends unknown[]>(done: (...answer: A) => void): (...answer: A) => void {
    const epoch = this.#epoch
    return (...answer) => {
      if (epoch === this.#epoch && !this.#closed) done(...answer)
    }
  }

  /** Throws the error of a flush that the disk has made by itself, for the guest's own flush to report. */
  throwLostFlush(): void {
    const lost = this.#lostFlush
    this.#lostFlush = undefined
    if (lost) throw lost
  }

  /** The image does not serve requests. */
  failing(error: Qcow2Error): void {
    this.#failed = error
    this.#events.onChange()
  }

  /** The image serves requests. */
  succeeded(): void {
    this.#failed = undefined
    this.#fault = undefined
    this.#faults.succeeded()
  }

  /** From now on nothing is answered, and nothing is tried again. */
  close(): void {
    this.#closed = true
    this.drive = undefined
    this.wake = undefined
  }

  #answer<T>(answer: (value: T) => void, value: T): void {
    this.succeeded()
    if (this.wake) this.wake.answer(() => answer(value))
    else answer(value)
  }

  /** Serves a request, again and again if need be, and answers it. `first` is the error of an attempt before. */
  async #serve<T>(served: Served<T>, first?: Qcow2Error): Promise<void> {
    const { request, serve, answer, signal } = served
    const decide = this.#faults.policy(request)
    let error = first
    for (;;) {
      if (error && !(await this.#again(decide, error, served))) return
      try {
        const value = await serve()
        this.#answer(answer, value)
        return
      } catch (thrown) {
        error = asError(thrown)
        if (!signal?.aborted && !this.#closed) continue
        this.#fault = undefined
        return
      }
    }
  }

  /** Decides whether a failed request is tried again. If not, the guest learns of it. */
  async #again<T>(decide: Decide, error: Qcow2Error, { request, signal, internal }: Served<T>): Promise<boolean> {
    const epoch = this.#epoch
    this.failing(error)
    // A decision without waiting leaves nothing pending.
    const undecided = setTimeout(() => {
      this.#fault = error
      this.#faulted()
    })
    const decision = await decide(error, signal)
    clearTimeout(undecided)
    // A reset has ended the request: nothing waits for it any more.
    const ended = signal?.aborted === true
    if (decision === 'retry' && !ended) return true
    this.#fault = undefined
    if (ended) return false
    if (internal) this.#lostFlush = error
    // Without an answer the guest waits until it resets the drive.
    else if (!this.drive) this.#fault = error
    else if (epoch === this.#epoch) failCommand(this.drive, request.kind, signal)
    if (internal || !this.drive) this.#events.onUnheard(error)
    return false
  }
}
