import { bytesIn } from '../base/arguments.js'
import type { Handle } from '../engine/handle.js'
import type { VmStateSource } from '../engine/options/snapshot.js'

/**
 * Writes a VM state from `offset` of the space past the end of the disk. Returns its length.
 *
 * @param onLength called with how many bytes are written.
 */
export async function writeVmState(
  handle: Handle,
  state: VmStateSource,
  offset: number,
  signal: AbortSignal | undefined,
  onLength: ((bytes: number) => void) | undefined,
): Promise<number> {
  let length = 0
  const take = async (part: unknown) => {
    const bytes = bytesIn(part, 'A part of vmState')
    await handle.write('write_vm_state', BigInt(offset + length), bytes, signal)
    length += bytes.length
    onLength?.(length)
  }
  if (!isStream(state)) {
    await take(state)
    return length
  }
  const reader = state.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) await take(next.value)
  } catch (error) {
    await reader.cancel(error).catch(() => {})
    throw error
  }
  return length
}

function isStream(value: unknown): value is ReadableStream<Uint8Array> {
  return typeof (value as Partial<ReadableStream> | null)?.getReader === 'function'
}
