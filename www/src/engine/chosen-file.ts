/** Writing to a file that the person chose. It is replaced when all is written: if that fails, it is as it was. */

import type { Disk } from 'qcow2-web'
import type { Part, Watch } from './protocol'

/** How many bytes are read in one request. */
const CHUNK = 1 << 20

/** Writes the bytes of a part of a disk. What is not stored is not written. */
export async function writeRaw(
  disk: Disk,
  { start, end }: Part,
  handle: FileSystemFileHandle,
  { signal, onProgress }: Watch,
): Promise<void> {
  await replacing(handle, async (out) => {
    const total = end - start
    for await (const extent of disk.map({ offset: start, length: total, signal })) {
      const last = extent.start + extent.length
      for (let at = extent.start; extent.data && at < last; at += CHUNK) {
        const data = await disk.read(at, Math.min(CHUNK, last - at), { signal })
        await out.write({ type: 'write', position: at - start, data })
        onProgress({ done: at - start, total })
      }
      onProgress({ done: last - start, total })
    }
    await out.truncate(total)
  })
}

/** Copies a file in a stream. */
export async function copyTo(file: File, handle: FileSystemFileHandle, { signal, onProgress }: Watch): Promise<void> {
  await replacing(handle, async (out) => {
    const reader = file.stream().getReader()
    let done = 0
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      signal.throwIfAborted()
      await out.write(next.value)
      done += next.value.length
      onProgress({ done, total: file.size })
    }
  })
}

async function replacing(
  handle: FileSystemFileHandle,
  write: (out: FileSystemWritableFileStream) => Promise<void>,
): Promise<void> {
  const out = await handle.createWritable()
  try {
    await write(out)
    await out.close()
  } catch (error) {
    await out.abort().catch(() => {})
    throw error
  }
}
