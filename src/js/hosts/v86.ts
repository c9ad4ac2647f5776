/**
 * A qcow2 image as a disk of the emulator v86: every write is kept, and the machine can be saved into the image.
 *
 * @packageDocumentation
 */

export { v86Disk } from './v86/disk.js'
export type {
  V86AttachOptions,
  V86Buffer,
  V86Disk,
  V86DiskOptions,
  V86DiskState,
  V86Fault,
  V86Hooks,
  V86Like,
  V86LoadOptions,
  V86Request,
  V86SaveOptions,
} from './v86/types.js'
