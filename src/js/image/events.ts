/** The events of an open image: see {@link Qcow2.addEventListener}. */
export interface Qcow2EventMap {
  /** A part of the disk was changed through this image. */
  change: DiskChangeEvent
  /** Something that was to change the image has failed. */
  error: DiskErrorEvent
  /** The image was closed. */
  close: Event
}

/** Which part of the disk was changed. */
export interface DiskChangeEvent extends Event {
  /** Where it begins, in bytes. */
  readonly offset: number
  /** Its length in bytes. */
  readonly length: number
}

/** Why a change has failed. */
export interface DiskErrorEvent extends Event {
  /** What the request rejected with. */
  readonly error: unknown
}

/** The event that a part of the disk was changed. */
export function changed(offset: number, length: number): DiskChangeEvent {
  return Object.assign(new Event('change'), { offset, length })
}

/** The event that a change has failed. */
export function failed(error: unknown): DiskErrorEvent {
  return Object.assign(new Event('error'), { error })
}
