/** Hashes of bytes, several in one pass. */

import type { Hashable, Hashes, HashName, Watch } from './protocol'
import { chunksFrom, chunksOf } from './readable-bytes'
import type { Session } from './session'
import { turns } from './turns'

/** Hashes a range of bytes, or a file of a volume. */
export async function hash(
  session: Session,
  hashed: Hashable,
  names: readonly HashName[],
  watch: Watch,
): Promise<Hashes> {
  const { signal } = watch
  if (hashed.of === 'bytes') {
    const bytes = await session.bytes(hashed.source)
    return hashesOf(chunksOf(bytes, hashed, signal), Number(hashed.end - hashed.start), names, watch)
  }
  const volume = await (await session.disks.files(hashed.at.snapshot)).volume(hashed.at.volume)
  const { size } = await volume.stat(hashed.path, { signal })
  return hashesOf(chunksFrom(await volume.readable(hashed.path, { signal })), size, names, watch)
}

async function hashesOf(
  chunks: AsyncIterable<Uint8Array>,
  total: number,
  names: readonly HashName[],
  { signal, onProgress }: Watch,
): Promise<Hashes> {
  const { HASHERS } = await import('./hashers')
  const hashers = await Promise.all(names.map(async (name) => [name, (await HASHERS[name]()).init()] as const))
  const turn = turns(signal)
  let done = 0
  for await (const chunk of chunks) {
    for (const [, hasher] of hashers) hasher.update(chunk)
    done += chunk.length
    onProgress({ done, total })
    await turn()
  }
  return Object.fromEntries(hashers.map(([name, hasher]) => [name, hasher.digest('hex')]))
}
