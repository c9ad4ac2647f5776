/** Which of several files is the image that the others belong to. */

import { blob, inspect } from 'qcow2-web'
import { baseName } from './source'

/**
 * Returns the index of the first image that no other one names; of the first file if all are named.
 */
export async function topOf(files: readonly File[]): Promise<number> {
  const found = await Promise.all(files.map((file) => inspect(blob(file)).catch(() => null)))
  const named = new Set(
    found.flatMap((each) => [each?.backingFile, each?.dataFile]).flatMap((name) => (name ? [baseName(name)] : [])),
  )
  const isTop = (file: File) => !named.has(file.name.toLowerCase())
  const image = files.findIndex((file, index) => found[index]?.format === 'qcow2' && isTop(file))
  return image >= 0 ? image : Math.max(0, files.findIndex(isTop))
}
