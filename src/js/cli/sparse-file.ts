import { closeSync, openSync, statSync } from 'node:fs'
import { type Part, partsOf } from './holes.js'
import type { ImageFile } from './image-file.js'

/** A file of a chain whose holes show: a raw file, or an image with preallocated clusters. */
export class SparseFile {
  #file: number | undefined

  constructor(
    private readonly path: string,
    /** Its clusters count as stored, though they are in holes. */
    readonly isPreallocated: boolean,
  ) {}

  /** The stored parts of a range, and the holes. */
  parts(from: number, to: number): Iterable<Part> {
    this.#file ??= openSync(this.path, 'r')
    return partsOf(this.#file, this.path, from, to)
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }
}

/** The files of a chain whose holes show, by their depth. */
export function sparseFiles(files: readonly ImageFile[]): Map<number, SparseFile> {
  const found = new Map<number, SparseFile>()
  files.forEach((file, depth) => {
    if (file.format === 'raw') found.set(depth, new SparseFile(file.path, false))
    else if (isPreallocated(file)) found.set(depth, new SparseFile(file.dataPath ?? file.path, true))
  })
  return found
}

/** True if the file takes clearly less room than its clusters would: then some are only reserved. */
function isPreallocated({ path, inspection }: ImageFile): boolean {
  const bits = inspection?.header?.clusterBits
  if (bits === undefined) return false
  const { size, blocks } = statSync(path)
  const [clusters, stored] = [Math.ceil(size / 2 ** bits), Math.floor((blocks * 512) / 2 ** bits)]
  return clusters >= Math.max(Math.floor((stored * 10) / 9), stored + 2)
}
