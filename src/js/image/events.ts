/** What an open image tells its listeners: see {@link Qcow2.addEventListener}. */
export interface Qcow2EventMap {
  /** A part of the disk was changed through this image. */
  change: DiskChangeEvent
  /** Something that was to change the image has failed. */
  error: DiskErrorEvent
  /** The image was closed. */
  close: Event
}

/** Which part of the disk was changed. */
export class DiskChangeEvent extends Event {
  /** Where it begins, in bytes. */
  readonly offset: number
  /** Its length in bytes. */
  readonly length: number

  /** @internal */
  constructor(offset: number, length: number) {
    super('change')
    this.offset = offset
    this.length = length
  }
}

/** Why a change has failed. */
export class DiskErrorEvent extends Event {
  /** What the request rejected with. */
  readonly error: unknown

  /** @internal */
  constructor(error: unknown) {
    super('error')
    this.error = error
  }
}
