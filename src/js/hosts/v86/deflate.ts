/** Compresses bytes; `undefined` where the browser can't. */
export async function deflate(bytes: Uint8Array): Promise<Uint8Array | undefined> {
  if (typeof CompressionStream === 'undefined') return undefined
  const stream = through(bytes, new CompressionStream('deflate-raw'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** Decompresses into `target`, which the result must fill exactly. */
export async function inflate(bytes: Uint8Array, target: Uint8Array): Promise<void> {
  if (typeof DecompressionStream === 'undefined') throw new Error('this browser has no DecompressionStream')
  const reader = through(bytes, new DecompressionStream('deflate-raw')).getReader()
  let filled = 0
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    if (next.value.length > target.length - filled) {
      await reader.cancel()
      throw new Error('there are more bytes than expected')
    }
    target.set(next.value, filled)
    filled += next.value.length
  }
  if (filled !== target.length) throw new Error('there are fewer bytes than expected')
}

function through(bytes: Uint8Array, transform: CompressionStream | DecompressionStream): ReadableStream<Uint8Array> {
  const source = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream()
  return source.pipeThrough(transform as ReadableWritablePair<Uint8Array, Uint8Array>)
}
