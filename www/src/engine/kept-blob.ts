/** Blobs of more bytes than fit into memory. */

/**
 * Collects a stream in a Blob. The browser keeps a large one on its disk. `onProgress` is called with the bytes so far.
 *
 * Rejects with what the stream fails with, with the reason of `signal`, or with a `QuotaExceededError`. Then nothing is kept.
 */
export async function keptBlob(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  signal: AbortSignal,
  onProgress: (done: number) => void = () => {},
): Promise<Blob> {
  let done = 0
  const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      done += chunk.length
      controller.enqueue(chunk)
      onProgress(done)
    },
  })
  // A Blob of parts keeps all of them in memory. The browser writes the body of a response to its disk.
  const [piped, kept] = await Promise.allSettled([
    stream.pipeTo(counted.writable, { signal }),
    new Response(counted.readable).blob(),
  ])
  if (kept.status === 'fulfilled') return kept.value
  // The body does not report why it failed. If there is no room, the stream is cancelled without a reason.
  if (piped.status === 'rejected' && piped.reason) throw piped.reason
  throw new DOMException('The browser has no room for a copy of the file.', 'QuotaExceededError')
}
