import { type Qcow2, Qcow2Error, type Snapshot } from '../../index.js'
import { asError, type Decide, policy, reportUncaught } from './faults.js'
import { FlushPoints } from './flush-points.js'
import { type Drive, failCommand, type HookedDisk, hook, unhook } from './ide.js'
import { loadMachine } from './load.js'
import { loaded, Machine } from './machine.js'
import type { MachineDisk } from './machine-disk.js'
import { Queue } from './queue.js'
import { StateRecord } from './record.js'
import { Rest, type RestingCpu } from './rest.js'
import { saveMachine } from './save.js'
import type {
  V86AttachOptions,
  V86Disk,
  V86DiskOptions,
  V86DiskState,
  V86Hooks,
  V86Like,
  V86LoadOptions,
  V86Request,
  V86SaveOptions,
} from './types.js'

/** v86 counts sectors in 32 bits, and wraps silently: the largest disk whose sectors it can tell apart. */
const largestDisk = 2047 * 2 ** 30
/** v86 guesses the geometry from the first sector, which it wants at once. */
const sectorSize = 512
/** The last sector of a CD may reach past the end of its image. */
const padding = 2048

/**
 * Makes a disk for the emulator v86 out of an image. Pass it as `hda`, `hdb` or `cdrom`, and attach it to the machine:
 *
 * ```ts
 * const image = await Qcow2.open(opfs('disk.qcow2'), { writable: true })
 * const hda = v86Disk(image)
 * const emulator = new V86({ hda, bios, vga_bios, wasm_path, autostart: true })
 * await hda.attach(emulator)
 * await hda.savevm('before the upgrade')
 * ```
 *
 * The disk serves the guest's requests in order, and flushes the image when the guest flushes its drive. The image stays the
 * caller's: close it after the disk. Nothing else may write to the image meanwhile.
 *
 * @throws `Qcow2Error` `DISK_TOO_LARGE` for a disk over 2047 GiB, which v86 can't address; `CLOSED`.
 */
export function v86Disk(image: Qcow2, options: V86DiskOptions = {}): V86Disk {
  return new ImageDisk(image, options)
}

const flushRequest: V86Request = { kind: 'flush', offset: 0, length: 0 }

/** An attempt to serve a request. */
interface Attempt<T> {
  readonly request: V86Request
  /** Asks the image. */
  readonly serve: () => Promise<T>
  /** Asks an image that answers at once. Some guests reset a drive that answers late. */
  readonly serveSync?: () => T
  /** Answers the guest. */
  readonly answer: (value: T) => void
  /** Aborted when the guest no longer waits for the answer. */
  readonly signal?: AbortSignal | undefined
  /** True for a flush of the disk's own, whose failure the guest learns with its next flush. */
  readonly internal?: boolean
}

class ImageDisk implements V86Disk, HookedDisk, MachineDisk {
  readonly image: Qcow2
  readonly record: StateRecord
  onload: ((event: object) => void) | undefined
  writeCache: boolean | undefined
  readonly #options: V86DiskOptions
  readonly #rest = new Rest()
  readonly #queue = new Queue(() => this.#settled())
  readonly #flushPoints = new FlushPoints(() => this.#flushWritten())
  #byteLength: number
  #firstSector: Uint8Array<ArrayBuffer> | undefined
  #drive: Drive | undefined
  #machine: Machine | undefined
  /** Counts resets: the guest expects no answer to requests from before the last one. */
  #epoch = 0
  /** Counts writes, to know which of them a flush has made durable. */
  #writes = 0
  #durable = 0
  #failed: Qcow2Error | undefined
  /** The error of the request that waits for a decision, or that was never answered. */
  #fault: Qcow2Error | undefined
  /** Called when a request fails. */
  #faulted = () => {}
  /** The error of a flush of the disk's own, which the guest's next flush must report. */
  #lostFlush: Qcow2Error | undefined
  #reported = ''
  #closed = false

  constructor(image: Qcow2, options: V86DiskOptions) {
    if (image.size > largestDisk) {
      const reason = `The disk has ${image.size} bytes; v86 addresses at most 2047 GiB (${largestDisk} bytes).`
      throw new Qcow2Error('DISK_TOO_LARGE', reason)
    }
    if (image.closed) throw new Qcow2Error('CLOSED', 'The image is closed.')
    this.image = image
    this.#options = options
    this.#byteLength = image.size
    this.writeCache = (options.writeCache ?? true) && !image.readOnly ? true : undefined
    this.record = new StateRecord(this)
  }

  get byteLength(): number {
    return this.#byteLength
  }

  get buffer(): never {
    throw new Qcow2Error('INVALID_ARGUMENT', 'The disk is not held in one buffer.')
  }

  get state(): V86DiskState {
    const { pending } = this.#queue
    const failed = this.#failed && { failed: this.#failed }
    return { pending, dirty: this.#writes > this.#durable, ...failed }
  }

  get isIdle(): boolean {
    return this.#queue.pending === 0
  }

  get writes(): number {
    return this.#writes
  }

  load(): void {
    const request: V86Request = { kind: 'read', offset: 0, length: sectorSize }
    this.#submit({ request, serve: () => this.#readFirstSector(), answer: () => this.onload?.({}) })
  }

  get(
    offset: number,
    length: number,
    done: (bytes: Uint8Array) => void,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): void {
    this.#submit({
      request: { kind: 'read', offset, length },
      serve: () => this.#read(offset, length, signal),
      serveSync: () => this.#readSync(offset, length),
      answer: this.#unlessReset(done),
      signal,
    })
  }

  get_and_cache(
    offset: number,
    length: number,
    done: (bytes: Uint8Array) => void,
    options?: { readonly signal?: AbortSignal | undefined },
  ): void {
    this.get(offset, length, done, options)
  }

  get_from_cache(offset: number, length: number): Uint8Array | undefined {
    if (offset + length > sectorSize) return undefined
    return this.#firstSector?.slice(offset, offset + length)
  }

  set(offset: number, bytes: Uint8Array, done: () => void): void {
    // v86 uses the array again as soon as this returns.
    const own = bytes.slice()
    const answer = this.#unlessReset(done)
    this.#submit({
      request: { kind: 'write', offset, length: own.length },
      serve: () => this.#write(offset, own),
      serveSync: () => this.#writeSync(offset, own),
      answer: () => {
        this.#keepFirstSector(offset, own)
        this.#flushPoints.written()
        answer()
      },
    })
  }

  get_buffer(done: (buffer?: ArrayBuffer) => void): void {
    done()
  }

  get_state(): unknown[] {
    return this.record.save()
  }

  set_state(state: unknown[]): void {
    this.record.restore(state)
    this.reset()
  }

  async attach(emulator: V86Like, { signal }: V86AttachOptions = {}): Promise<V86Hooks> {
    await loaded(emulator, signal)
    const found = hook(emulator, this, this)
    if (!found) {
      const reason = 'The machine does not have this disk. Pass it to V86 as hda, hdb or cdrom.'
      throw new Qcow2Error('INVALID_ARGUMENT', reason)
    }
    this.#drive = found.drive
    this.#machine = Machine.of(emulator)
    this.#machine.add(this)
    this.#flushPoints.guestFlushes = false
    return found.hooks
  }

  idle(): Promise<void> {
    return this.#queue.idle()
  }

  flush(): Promise<void> {
    return this.exclusive(() => this.#flushImage())
  }

  async savevm(name: string, options: V86SaveOptions = {}): Promise<Snapshot> {
    return saveMachine(this.#attached(), this, name, options)
  }

  async loadvm(idOrName: string, options: V86LoadOptions = {}): Promise<void> {
    return loadMachine(this.#attached(), this, idOrName, options)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#flushPoints.stop()
    unhook(this)
    this.#machine?.delete(this)
    try {
      await this.flush()
    } finally {
      this.#closed = true
      this.#drive = undefined
    }
  }

  async quiet(): Promise<void> {
    while (this.#queue.pending > 0 && !this.#fault) {
      const faulted = new Promise<void>((resolve) => {
        this.#faulted = resolve
      })
      await Promise.race([this.#queue.idle(), faulted])
    }
    if (!this.#fault) return
    const reason = `The guest waits for a request that failed: ${this.#fault.reason}`
    throw new Qcow2Error('FAULT_PENDING', reason, { cause: this.#fault })
  }

  stopped(): void {
    if (this.#writes > this.#durable) this.#flushPoints.now()
  }

  /** Called by the hooks: FLUSH CACHE. */
  flushCommand(done: () => void): void {
    this.#flushPoints.guestFlushes = true
    const answer = this.#unlessReset(done)
    const serve = async () => {
      const lost = this.#lostFlush
      this.#lostFlush = undefined
      if (lost) throw lost
      await this.#flushImage()
    }
    this.#submit({ request: flushRequest, serve, answer })
  }

  /** Called by the hooks: the guest has reset the drive. */
  reset(): void {
    this.#epoch += 1
    this.#rest.wake()
  }

  /** Called by the hooks: the guest looks whether the drive is ready. */
  polled(cpu: RestingCpu): void {
    if (this.#queue.pending > 0) this.#rest.polled(cpu)
  }

  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#queue.push(() => work().then(resolve, reject))
    })
  }

  async refresh(): Promise<void> {
    this.#byteLength = this.image.size
    this.#writes += 1
    this.#durable = this.#writes
    this.#failed = undefined
    await this.#readFirstSector()
    this.#changed()
  }

  report(error: Qcow2Error): void {
    this.#failed = error
    this.#changed()
    if (!this.#options.onChange) reportUncaught(error)
  }

  #attached(): Machine {
    if (this.#machine) return this.#machine
    throw new Qcow2Error('NOT_ATTACHED', 'The disk is not attached to a machine. Call attach(emulator) first.')
  }

  /** Flushes what is written, at a moment that the disk has chosen. */
  #flushWritten(): void {
    if (this.#closed || this.#writes === this.#durable) return
    this.#submit({ request: flushRequest, serve: () => this.#flushImage(), answer: () => {}, internal: true })
  }

  async #flushImage(): Promise<void> {
    const writes = this.#writes
    if (!this.image.readOnly) await this.image.flush()
    this.#durable = Math.max(this.#durable, writes)
  }

  /** Queues a request, and answers it in its turn. */
  #submit<T>(attempt: Attempt<T>): void {
    this.#queue.push(() => {
      if (attempt.signal?.aborted) return undefined
      if (!this.image.sync || !attempt.serveSync) return this.#attempt(attempt)
      let value: T
      try {
        value = attempt.serveSync()
      } catch (thrown) {
        return this.#attempt(attempt, asError(thrown))
      }
      this.#succeeded()
      attempt.answer(value)
      return undefined
    })
    this.#changed()
  }

  /** Serves a request, again and again if need be, and answers it. `first` is the error of an attempt before. */
  async #attempt<T>(attempt: Attempt<T>, first?: Qcow2Error): Promise<void> {
    const { request, serve, answer, signal } = attempt
    const decide = policy(this.#options.onFault, request)
    let error = first
    for (;;) {
      if (error && !(await this.#again(decide, error, attempt))) return
      try {
        const value = await serve()
        this.#succeeded()
        answer(value)
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
  async #again<T>(decide: Decide, error: Qcow2Error, { request, signal, internal }: Attempt<T>): Promise<boolean> {
    const epoch = this.#epoch
    this.#failed = error
    this.#fault = error
    this.#faulted()
    this.#changed()
    const decision = await decide(error, signal)
    // A reset has ended the request: nothing waits for it any more.
    const ended = signal?.aborted === true
    if (decision === 'retry' && !ended) return true
    this.#fault = undefined
    if (ended) return false
    if (internal) this.#lostFlush = error
    else if (this.#drive && epoch === this.#epoch) failCommand(this.#drive, request.kind, signal)
    else if (!this.#drive) this.#unanswered(error)
    return false
  }

  /** The guest waits for an answer that never comes, until it resets the drive. */
  #unanswered(error: Qcow2Error): void {
    this.#fault = error
    this.report(error)
  }

  #succeeded(): void {
    this.#failed = undefined
    this.#fault = undefined
  }

  /** Answers a request unless the guest has reset the drive since. */
  #unlessReset<A extends unknown[]>(done: (...answer: A) => void): (...answer: A) => void {
    const epoch = this.#epoch
    return (...answer) => {
      if (epoch === this.#epoch && !this.#closed) done(...answer)
    }
  }

  async #read(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    const inside = this.#inside(offset, length)
    await this.image.readInto(offset, inside === length ? bytes : bytes.subarray(0, inside), { signal })
    return bytes
  }

  #readSync(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    const inside = this.#inside(offset, length)
    this.image.readIntoSync(offset, inside === length ? bytes : bytes.subarray(0, inside))
    return bytes
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#writes += 1
    await this.image.write(offset, bytes)
    if (this.writeCache !== true) await this.#flushImage()
  }

  #writeSync(offset: number, bytes: Uint8Array): void {
    this.#writes += 1
    this.image.writeSync(offset, bytes)
    if (this.writeCache === true) return
    this.image.flushSync()
    this.#durable = this.#writes
  }

  /** How much of a range the image has; the rest of its last sector reads as zeros. */
  #inside(offset: number, length: number): number {
    const over = offset + length - this.#byteLength
    return over > 0 && over < padding && offset < this.#byteLength ? length - over : length
  }

  async #readFirstSector(): Promise<void> {
    this.#firstSector = undefined
    if (this.#byteLength < sectorSize) return
    this.#firstSector = await this.image.read(0, sectorSize)
    if (this.image.readOnly) await this.record.identify()
  }

  #keepFirstSector(offset: number, bytes: Uint8Array): void {
    if (offset < sectorSize) this.#firstSector?.set(bytes.subarray(0, sectorSize - offset), offset)
  }

  /** A request has been served, and answered if it is to be. */
  #settled(): void {
    this.#rest.wake()
    this.#changed()
  }

  #changed(): void {
    const { onChange } = this.#options
    if (!onChange) return
    const { state } = this
    const now = `${state.pending} ${state.dirty} ${state.failed?.message}`
    if (now === this.#reported) return
    this.#reported = now
    try {
      onChange(state)
    } catch (thrown) {
      reportUncaught(thrown)
    }
  }
}
