import type { Inspection } from '../index.js'

/** A file of a chain: its name, and what its header records. */
export interface ImageFile {
  /** Its name, as messages and reports have it. */
  readonly name: string
  readonly path: string
  readonly format: 'qcow2' | 'raw'
  /** False if the format was probed. */
  readonly given: boolean
  /** What is in the header, where it is a qcow2 image. */
  readonly inspection: Inspection | undefined
  /** The data file, where it has one. */
  readonly dataFile: string | undefined
  readonly dataPath: string | undefined
  readonly keySecret: string | undefined
}
