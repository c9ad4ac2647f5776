import { unlessAborted } from '../base/abort.js'
import type { FilesDisk } from './disk.js'
import { FilesError } from './errors.js'
import { type FilesOptions, type Host, startHost } from './host.js'
import type { Unlocked } from './luks/container.js'
import type { Answer, Call } from './parser.js'

/** What was counted while a volume was read. The contents of large files are not counted: no parser reads them. */
export interface FilesStatistics {
  /** The operations. */
  readonly calls: number
  /** How often an operation ran again, because bytes of the disk were missing. */
  readonly reruns: number
  /** The reads of the disk for the parser. */
  readonly requests: number
  /** The bytes that were read from the disk for the parser. */
  readonly bytes: number
}

/** Makes a call in a turn that is exclusive. */
export type CallParser = (call: Call, signal?: AbortSignal) => Promise<unknown>

/** What a session is for. */
export interface Purpose {
  /** The volume that is opened. Default: none, to find volumes. */
  readonly volume?: string
  /** The containers that are unlocked. */
  readonly unlocked: readonly Unlocked[]
  /** Whether a container is to be unlocked. Default: whether one is. */
  readonly unlocks?: boolean
}

/**
 * The calls to one parser, in turn: each is made again with the bytes that it needs until it has a value.
 *
 * A parser that ended, because it broke down or took too long, is started anew by the next call.
 */
export class Session {
  readonly #disk: FilesDisk
  readonly #options: FilesOptions
  readonly #purpose: Purpose
  #host: Promise<Host> | undefined
  /** Grows with each parser: a listing belongs to the one that it was begun in. */
  #generation = 0
  #last: Promise<unknown> = Promise.resolve()
  #closed = false
  #version = 0
  /** Where the range that was read last ends. */
  #end = -1
  /** The range that is read ahead. */
  #ahead: { offset: number; length: number; bytes: Promise<Uint8Array>; stop: AbortController } | undefined

  constructor(disk: FilesDisk, options: FilesOptions, purpose: Purpose) {
    this.#disk = disk
    this.#options = options
    this.#purpose = purpose
  }

  /** A session over the same disk for another purpose. */
  another(purpose: Purpose): Session {
    return new Session(this.#disk, this.#options, purpose)
  }

  /** The containers that are unlocked. */
  get unlocked(): readonly Unlocked[] {
    return this.#purpose.unlocked
  }

  /** The number of the parser that runs. */
  get generation(): number {
    return this.#generation
  }

  /** Grows when the volume may have changed. */
  get version(): number {
    return this.#version
  }

  /** Reads the disk without waiting for calls. */
  async read(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    this.#open()
    const bytes = await this.#disk.read(offset, length, { signal })
    if (bytes.length !== length) throw shortDisk()
    return own(bytes)
  }

  /** As {@link read}, in chunks from front to back, if the disk has a way that is faster than reads. */
  readable(
    offset: number,
    length: number,
    chunkSize: number,
    signal: AbortSignal,
  ): ReadableStream<Uint8Array> | undefined {
    this.#open()
    return this.#disk.readable?.({ offset, length, chunkSize, signal })
  }

  /** Makes a call when those before it have their values. */
  call<T>(call: Call, signal?: AbortSignal): Promise<T> {
    const run = () => this.#call(call, signal) as Promise<T>
    const result = this.#last.then(run, run)
    this.#last = result.catch(() => {})
    return result
  }

  /** Runs `body` when the calls before it have their values. No other call comes between its own. */
  exclusive<T>(body: (call: CallParser, disk: FilesDisk) => Promise<T>): Promise<T> {
    const run = () => {
      // What was read ahead may be what is written.
      this.#ahead?.stop.abort()
      this.#ahead = undefined
      this.#end = -1
      this.#version += 1
      return body((call, signal) => this.#call(call, signal), this.#disk)
    }
    const result = this.#last.then(run, run)
    this.#last = result.catch(() => {})
    return result
  }

  /** Whether the disk can be written. */
  get writable(): boolean {
    return !this.#disk.readOnly && this.#disk.write !== undefined && this.#disk.flush !== undefined
  }

  /** Ends the parser. */
  close(): void {
    this.#closed = true
    this.#stop()
  }

  async #call(call: Call, signal: AbortSignal | undefined): Promise<unknown> {
    signal?.throwIfAborted()
    this.#open()
    this.#host ??= this.#start(signal)
    try {
      return await this.#complete(await this.#host, call, signal)
    } catch (error) {
      if (error instanceof FilesError && ['TIMEOUT', 'CRASHED', 'LOAD_FAILED'].includes(error.code)) this.#stop()
      throw error
    }
  }

  #open(): void {
    if (this.#closed) throw new FilesError('CLOSED', 'The volume is closed.')
  }

  async #start(signal: AbortSignal | undefined): Promise<Host> {
    let host: Host | undefined
    try {
      const { volume, unlocked, unlocks = unlocked.length > 0 } = this.#purpose
      host = await startHost(this.#disk, this.#options, unlocks)
      this.#generation += 1
      for (const container of unlocked) await this.#complete(host, { method: 'use', args: [container] }, signal)
      if (volume !== undefined) await this.#complete(host, { method: 'open', args: [volume] }, signal)
      return host
    } catch (error) {
      this.#host = undefined
      host?.close()
      throw error
    }
  }

  #stop(): void {
    this.#ahead?.stop.abort()
    this.#ahead = undefined
    this.#host?.then((host) => host.close()).catch(() => {})
    this.#host = undefined
  }

  async #complete(host: Host, call: Call, signal: AbortSignal | undefined): Promise<unknown> {
    let answer: Answer = await host.call(call)
    while ('need' in answer) {
      const [offset, length] = answer.need
      const bytes = await this.#read(offset, length, signal)
      if (bytes.length !== length) throw shortDisk()
      answer = await host.call(call, { offset, bytes: own(bytes) })
    }
    return answer.value
  }

  /** Reads the disk, and starts to read what comes next while the parser works, if ranges follow each other. */
  async #read(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const ahead = this.#ahead
    this.#ahead = undefined
    const isAhead = ahead?.offset === offset && ahead.length === length
    if (!isAhead) ahead?.stop.abort()
    const isSequential = this.#end === offset
    this.#end = offset + length
    const bytes = isAhead ? await unlessAborted(ahead.bytes, signal) : await this.#disk.read(offset, length, { signal })
    const next = Math.min(length, this.#disk.size - this.#end)
    if (isSequential && length >= largeRange && next > 0) this.#readAhead(this.#end, next)
    return bytes
  }

  #readAhead(offset: number, length: number): void {
    const stop = new AbortController()
    const bytes = this.#disk.read(offset, length, { signal: stop.signal })
    // What fails here is read again when it is needed, and fails there.
    bytes.catch(() => {
      if (this.#ahead?.stop === stop) this.#ahead = undefined
    })
    this.#ahead = { offset, length, bytes, stop }
  }
}

/** Ranges from this length on that follow each other are part of a large file: the next one is read ahead. */
const largeRange = 512 << 10

/** The error of a disk that returns fewer bytes than it was asked for. */
export function shortDisk(): FilesError {
  return new FilesError('DAMAGED', 'The disk returned fewer bytes than it was asked for.')
}

/** The bytes alone: posting a view would copy all of the memory that it is a part of. */
function own(bytes: Uint8Array): Uint8Array {
  // Not its own `slice`, which makes a view in Node.
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.prototype.slice.call(bytes)
}
