import type { Progress, Qcow2, Qcow2Error, Snapshot } from '../../index.js'

/** A request of the guest, as the machine sends it to a disk. */
export interface V86Request {
  /** What the guest asks for. */
  readonly kind: 'read' | 'write' | 'flush'
  /** Where on the disk, in bytes; 0 for a flush. */
  readonly offset: number
  /** How many bytes; 0 for a flush. */
  readonly length: number
}

/** What {@link V86DiskOptions.onFault} decides: ask the image again, or report an error to the guest. */
export type V86Fault = 'retry' | 'fail'

/** How a disk is doing. */
export interface V86DiskState {
  /** How many requests the disk has not answered yet. */
  readonly pending: number
  /** True while the image holds writes that no flush has made durable. */
  readonly dirty: boolean
  /** The error of the request that the image could not serve; absent again once a request succeeds. */
  readonly failed?: Qcow2Error
}

/** How a disk behaves. */
export interface V86DiskOptions {
  /**
   * Gives the drive a write cache: IDENTIFY reports one, and the guest's FLUSH CACHE command calls `image.flush()`. Without
   * it, the drive reports no cache, and each write is durable before the guest sees it done, which is slow. Default: true.
   */
  readonly writeCache?: boolean | undefined
  /**
   * Decides what follows when the image fails to serve a request. The guest waits meanwhile, and so do all later requests.
   * `fail` makes the drive report an error: Linux programs see EIO. An exception counts as `fail`.
   *
   * Default: a storage that fails is asked again for 20 seconds, with growing pauses. If that was in vain, later requests fail
   * without being repeated until one succeeds. All other errors fail without being repeated.
   *
   * @param error what the image rejected with.
   * @param request the request of the guest.
   */
  readonly onFault?: ((error: Qcow2Error, request: V86Request) => V86Fault | Promise<V86Fault>) | undefined
  /** Called after each change of {@link V86DiskState}. An exception that it throws is reported as uncaught, and changes nothing. */
  readonly onChange?: ((state: V86DiskState) => void) | undefined
}

/** The machine, as far as a disk needs it: a `V86` of the npm package v86 fits. */
export interface V86Like {
  /** Resumes the machine. */
  run(): Promise<void>
  /** Pauses the machine. */
  stop(): Promise<void>
  /** True while the machine runs. */
  is_running(): boolean
  /** Returns the state of the machine, without the contents of disks of this package. */
  save_state(): Promise<ArrayBuffer>
  /** Applies a state. */
  restore_state(state: ArrayBuffer): Promise<void>
  /** Adds a listener of an event. */
  add_listener(event: 'emulator-loaded' | 'emulator-started' | 'emulator-stopped', listener: () => void): void
  /** Removes a listener of an event. */
  remove_listener(event: 'emulator-loaded' | 'emulator-started' | 'emulator-stopped', listener: () => void): void
}

/** What a disk could hook into in the machine. */
export interface V86Hooks {
  /** True if the guest's FLUSH CACHE reaches the image. If false, the disk flushes 50 ms after each burst of writes. */
  readonly flush: boolean
  /**
   * True if the guest sees the drive's errors. If false, the guest waits for a request that failed until it resets the drive;
   * {@link V86DiskOptions.onChange} reports the error.
   */
  readonly errors: boolean
}

/** How {@link V86Disk.attach} waits. */
export interface V86AttachOptions {
  /** Stops waiting for the machine to load; `attach` then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** How {@link V86Disk.savevm} saves. */
export interface V86SaveOptions {
  /**
   * Saves into another image, for a disk whose image has no more room: this one gets the disk as it is, then the snapshot. It
   * must be writable and empty, with the size of the disk. It stays the caller's. Pass it to `v86Disk` to load the machine.
   */
  readonly into?: Qcow2 | undefined
  /** Stops saving: the image is as before, the machine goes on, and `savevm` rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Called with how many bytes of the machine's state are saved. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/** How {@link V86Disk.loadvm} loads. */
export interface V86LoadOptions {
  /** Stops loading before anything is applied; `loadvm` then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * The part of a disk that v86 calls, under the names that it uses. v86 0.5.462 takes any object that has it as `hda`, `hdb`
 * or `cdrom`.
 */
export interface V86Buffer {
  /** The size of the disk in bytes. */
  readonly byteLength: number
  /** Set by v86; called once the disk can be used. */
  onload: ((event: object) => void) | undefined
  /** Never set by this package: v86 declares it for buffers of its own. */
  readonly onprogress?: undefined
  /**
   * Never there. It makes this type fit v86's `V86Image`, whose declarations have no member for objects such as this.
   */
  readonly buffer: never
  /** Prepares the disk, and calls `onload`. */
  load(): void
  /** Reads `length` bytes at `offset`, and calls `done` with them. They are valid until `done` returns. */
  get(
    offset: number,
    length: number,
    done: (bytes: Uint8Array) => void,
    options?: { readonly signal?: AbortSignal | undefined },
  ): void
  /** The same as `get`. */
  get_and_cache(
    offset: number,
    length: number,
    done: (bytes: Uint8Array) => void,
    options?: { readonly signal?: AbortSignal | undefined },
  ): void
  /** Returns bytes of the first sector; `undefined` for all others. */
  get_from_cache(offset: number, length: number): Uint8Array | undefined
  /** Writes a copy of `bytes` at `offset`, and calls `done`. */
  set(offset: number, bytes: Uint8Array, done: () => void): void
  /** Calls `done` without a buffer: the disk is not held in memory. */
  get_buffer(done: (buffer?: ArrayBuffer) => void): void
  /** Returns what a state of v86's own records of the disk: which image, and which of its snapshots. */
  get_state(): unknown[]
  /** Goes back to the recorded snapshot. Throws if the image is another one, or no longer has the snapshot. */
  set_state(state: unknown[]): void
}

/** A disk of a machine in v86. */
export interface V86Disk extends V86Buffer {
  /** How the disk is doing. */
  readonly state: V86DiskState
  /**
   * Hooks the disk into the machine, once that is loaded, and reports which hooks it found: they use internal names of v86.
   * Call it immediately after `new V86(…)`.
   *
   * @throws `Qcow2Error` `INVALID_ARGUMENT` if the machine has not got this disk; or the signal's reason.
   */
  attach(emulator: V86Like, options?: V86AttachOptions): Promise<V86Hooks>
  /** Waits until no request is pending. */
  idle(): Promise<void>
  /**
   * Makes durable what the guest has written so far.
   *
   * @throws `Qcow2Error` what `image.flush()` rejects with.
   */
  flush(): Promise<void>
  /**
   * Saves the machine as a snapshot of the image, with the machine's state: pauses the machine, waits until its disks are
   * idle, takes the snapshot, and resumes. With several attached disks, each image gets a snapshot of that name; one that is
   * not writable, such as a CD, is only recorded.
   *
   * @param name the name of the snapshot. Several may have the same.
   * @returns the snapshot of this disk's image, or of the one that it is saved into.
   * @throws `Qcow2Error` `NOT_ATTACHED`, `FAULT_PENDING`, `BUSY`, `READ_ONLY`, `INVALID_ARGUMENT` for an image of another size
   * to save into, and what `convert` and `snapshots.create` reject with; or the signal's reason. The machine goes on then, and
   * no image keeps a snapshot of it.
   */
  savevm(name: string, options?: V86SaveOptions): Promise<Snapshot>
  /**
   * Goes back to a saved machine: pauses the machine, reads and checks the whole state, applies the snapshot of each disk,
   * restores the machine, and resumes it if it ran. What the disks hold now is lost, unless a snapshot has it.
   *
   * @param idOrName the id or the name of a snapshot that {@link V86Disk.savevm} took.
   * @throws `Qcow2Error` `NO_SUCH_SNAPSHOT`, `BAD_MACHINE_STATE` for one that is foreign, corrupt, or of another machine,
   * `NOT_ATTACHED`, `FAULT_PENDING`, `BUSY`, and what `snapshots.apply` rejects with; or the signal's reason. Nothing has
   * changed then; only if applying fails on a later one of several disks, the machine stays paused.
   */
  loadvm(idOrName: string, options?: V86LoadOptions): Promise<void>
  /**
   * Serves what is pending, flushes, and leaves the machine. The image stays open. Requests that come later are not answered.
   *
   * @throws `Qcow2Error` what `image.flush()` rejects with.
   */
  close(): Promise<void>
}
