import type { Extent } from 'qcow2-web'
import type { OpenFile } from './protocol'

/** Returns the file that has the bytes of an extent; `undefined` if it was not given. */
export function storedIn(extent: Extent, files: OpenFile[]): OpenFile | undefined {
  const owner = extent.depth === 0 ? 'image' : `backing-${extent.depth}`
  const holder = files.find(({ key }) => key === owner)
  // Compressed clusters never go to a data file.
  if (extent.compressed || !holder?.hasDataFile) return holder
  return files.find(({ key }) => key === `${owner}-data`)
}
