import { callback, flag, optionsIn, signalIn, text, watchIn, withMethods } from '../../base/arguments.js'
import { type Qcow2, Qcow2Error, type Snapshot } from '../../index.js'
import { Content, sectorSize } from './content.js'
import { reportUncaught } from './faults.js'
import { FlushPoints } from './flush-points.js'
import { type HookedDisk, hook, unhook } from './ide.js'
import { loadMachine } from './load.js'
import { loaded, Machine } from './machine.js'
import type { MachineDisk } from './machine-disk.js'
import { StateRecord } from './record.js'
import { Requests } from './requests.js'
import type { RestingCpu } from './rest.js'
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

/** v86 counts sectors in 32 bits, and wraps silently: the largest disk whose sectors it can address. */
const largestDisk = 2047 * 2 ** 30

/**
 * Makes a disk for the emulator v86 out of an image. Pass it as `hda`, `hdb` or `cdrom`, and attach it to the machine.
 *
 * The disk serves the guest's requests in order, and flushes the image when the guest flushes its drive. The image stays the
 * caller's: close it after the disk. Nothing else may write to the image meanwhile.
 *
 * @throws `Qcow2Error` `INVALID_ARGUMENT`; `DISK_TOO_LARGE` for a disk over 2047 GiB, which v86 can't address; `CLOSED`.
 *
 * @example
 * ```ts
 * import { V86 } from 'v86'
 *
 * const image = await Qcow2.open(opfs('disk.qcow2'), { writable: true })
 * const hda = v86Disk(image)
 * const emulator = new V86({ hda, bios, vga_bios, wasm_path, autostart: true })
 * await hda.attach(emulator)
 * await hda.savevm('before the upgrade')
 * ```
 */
export function v86Disk(image: Qcow2, options: V86DiskOptions = {}): V86Disk {
  const { writeCache, onFault, onChange } = optionsIn(options)
  return new ImageDisk(imageIn(image, 'The image'), {
    writeCache: flag(writeCache, 'writeCache', true),
    onFault: callback(onFault, 'onFault'),
    onChange: callback(onChange, 'onChange'),
  })
}

/** `value` as an image, by what is called of it. */
function imageIn(value: Qcow2, what: string): Qcow2 {
  return withMethods(value, ['read', 'write', 'flush', 'readIntoSync', 'writeSync'], what)
}

const flushRequest: V86Request = { kind: 'flush', offset: 0, length: 0 }

class ImageDisk implements V86Disk, HookedDisk, MachineDisk {
  readonly record: StateRecord
  onload: ((event: object) => void) | undefined
  readonly #options: V86DiskOptions
  readonly #content: Content
  readonly #requests: Requests
  readonly #flushPoints = new FlushPoints(() => this.#flushWritten())
  #machine: Machine | undefined
  #reported = ''
  #closed = false

  constructor(image: Qcow2, options: V86DiskOptions) {
    if (image.size > largestDisk) {
      const reason = `The disk has ${image.size} bytes; v86 addresses at most 2047 GiB (${largestDisk} bytes).`
      throw new Qcow2Error('DISK_TOO_LARGE', reason)
    }
    if (image.closed) throw new Qcow2Error('CLOSED', 'The image is closed.')
    this.#options = options
    this.#content = new Content(image, options.writeCache !== false)
    this.#requests = new Requests(options.onFault, {
      onChange: () => this.#changed(),
      onUnheard: (error) => {
        // `onFault` and `onChange` have been given the error already.
        if (!options.onFault && !options.onChange) reportUncaught(error)
      },
    })
    this.record = new StateRecord(this)
  }

  // What v86 calls.

  get byteLength(): number {
    return this.#content.size
  }

  get buffer(): never {
    throw new Qcow2Error('INVALID_ARGUMENT', 'The disk is not held in one buffer.')
  }

  load(): void {
    const request: V86Request = { kind: 'read', offset: 0, length: sectorSize }
    this.#requests.submit({ request, serve: () => this.#content.load(), answer: () => this.onload?.({}) })
  }

  get(
    offset: number,
    length: number,
    done: (bytes: Uint8Array) => void,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): void {
    this.#requests.submit({
      request: { kind: 'read', offset, length },
      serve: () => this.#content.read(offset, length, signal),
      serveNow: () => this.#content.readNow(offset, length),
      answer: this.#requests.unlessReset(done),
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
    return this.#content.atHand(offset, length)
  }

  set(offset: number, bytes: Uint8Array, done: () => void): void {
    // v86 uses the array again as soon as this returns.
    const own = bytes.slice()
    const answer = this.#requests.unlessReset(done)
    this.#requests.submit({
      request: { kind: 'write', offset, length: own.length },
      serve: () => this.#content.write(offset, own).then(() => true),
      serveNow: () => this.#content.writeNow(offset, own) || undefined,
      answer: () => {
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

  // What the page calls.

  get state(): V86DiskState {
    const { pending, failed } = this.#requests
    return { pending, dirty: this.#content.dirty, ...(failed && { failed }) }
  }

  async attach(emulator: V86Like, options: V86AttachOptions = {}): Promise<V86Hooks> {
    const signal = signalIn(options)
    withMethods(emulator, ['add_listener', 'remove_listener', 'is_running'], 'The emulator')
    await loaded(emulator, signal)
    const found = hook(emulator, this, this)
    if (!found) {
      const reason = 'The machine does not have this disk. Pass it to V86 as hda, hdb or cdrom.'
      throw new Qcow2Error('INVALID_ARGUMENT', reason)
    }
    this.#requests.drive = found.drive
    this.#machine = Machine.of(emulator)
    this.#requests.wake = this.#machine.add(this)
    this.#flushPoints.guestFlushes = false
    return found.hooks
  }

  idle(): Promise<void> {
    return this.#requests.idle()
  }

  flush(): Promise<void> {
    return this.exclusive(() => this.#content.flush())
  }

  async savevm(name: string, options: V86SaveOptions = {}): Promise<Snapshot> {
    const { into } = optionsIn(options)
    if (into !== undefined) imageIn(into, 'into')
    text(name, 'The name')
    return saveMachine(this.#attached(), this, name, { into, ...watchIn(options) })
  }

  async loadvm(idOrName: string, options: V86LoadOptions = {}): Promise<void> {
    text(idOrName, 'The id or name')
    return loadMachine(this.#attached(), this, idOrName, { signal: signalIn(options) })
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
      this.#requests.close()
    }
  }

  // What the hooks call.

  get writeCache(): boolean | undefined {
    return this.#content.writeCache
  }

  set writeCache(value: boolean | undefined) {
    this.#content.writeCache = value
  }

  flushCommand(done: () => void): void {
    this.#flushPoints.guestFlushes = true
    const answer = this.#requests.unlessReset(done)
    const serve = async () => {
      this.#requests.throwLostFlush()
      await this.#content.flush()
    }
    this.#requests.submit({ request: flushRequest, serve, answer })
  }

  reset(): void {
    this.#requests.reset()
  }

  polled(cpu: RestingCpu): void {
    this.#requests.polled(cpu)
  }

  // What saving and loading the machine calls.

  get image(): Qcow2 {
    return this.#content.image
  }

  get identity(): string {
    return this.#content.identity
  }

  get writes(): number {
    return this.#content.writes
  }

  get isIdle(): boolean {
    return this.#requests.pending === 0
  }

  quiet(): Promise<void> {
    return this.#requests.quiet()
  }

  stopped(): void {
    if (this.#content.dirty) this.#flushPoints.now()
  }

  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#requests.exclusive(work)
  }

  async refresh(): Promise<void> {
    await this.#content.reload()
    this.#requests.succeeded()
    this.#changed()
  }

  report(error: Qcow2Error): void {
    this.#requests.failing(error)
    if (!this.#options.onChange) reportUncaught(error)
  }

  #attached(): Machine {
    if (this.#machine) return this.#machine
    throw new Qcow2Error('NOT_ATTACHED', 'The disk is not attached to a machine. Call attach(emulator) first.')
  }

  /** Flushes what is written, at a moment that the disk has chosen. */
  #flushWritten(): void {
    if (this.#closed || !this.#content.dirty) return
    this.#requests.submit({
      request: flushRequest,
      serve: () => this.#content.flush(),
      answer: () => {},
      internal: true,
    })
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
