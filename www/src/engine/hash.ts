/** Hashes of bytes, several in one pass. */

import type { Hashes, HashName, Progress } from './protocol'
import { turns } from './turns'

interface Options {
  total: number
  signal: AbortSignal
  onProgress(progress: Progress): void
}

export async function hashesOf(
  chunks: AsyncIterable<Uint8Array>,
  names: readonly HashName[],
  { total, signal, onProgress }: Options,
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
