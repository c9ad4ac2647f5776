/** More bytes than memory should hold, as a Blob. */

/**
 * Has the browser keep what a stream gives: on its disk, where that is much. `onProgress` is told how many bytes it has by then.
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
  // A Blob made of parts would keep all of them in memory; the body of a response goes where there is room.
  const [piped, kept] = await Promise.allSettled([
    stream.pipeTo(counted.writable, { signal }),
    new Response(counted.readable).blob(),
  ])
  if (kept.status === 'fulfilled') return kept.value
  // The body says of no failure what it was; where there is no room, the stream is cancelled without a reason.
  if (piped.status === 'rejected' && piped.reason) throw piped.reason
  throw new DOMException('The browser has no room for a copy of the file.', 'QuotaExceededError')
}
