/** `fetch` through the worker that alone may reach other servers. */

import { type Remote, wrap } from 'comlink'
import type { Network } from './protocol'

/** What `http` takes for `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** Fetches through a port of that worker. */
export function fetchThrough(port: MessagePort): Fetch {
  const network = wrap<Network>(port)
  let last = 0
  return async (url, { method = 'GET', headers, redirect = 'follow', cache = 'default', signal }) => {
    signal?.throwIfAborted()
    const id = ++last
    const cancel = () => void network.cancel(id)
    signal?.addEventListener('abort', cancel, { once: true })
    const ended = () => signal?.removeEventListener('abort', cancel)
    try {
      const answer = await network.fetch(id, { url, method, headers: [...new Headers(headers)], redirect, cache })
      if (!answer.hasBody) ended()
      const { type, status } = answer
      // Of redirects that are not followed browsers show nothing, not even the status.
      const init = { status: status === 0 ? 302 : status, headers: answer.headers }
      const response = new Response(answer.hasBody ? body(network, id, signal, ended) : null, init)
      return Object.defineProperty(response, 'type', { value: type })
    } catch (error) {
      ended()
      signal?.throwIfAborted()
      throw error
    }
  }
}

/** The body of the answer to a request, of which each part is asked for. */
function body(
  network: Remote<Network>,
  id: number,
  signal: AbortSignal | null | undefined,
  ended: () => void,
): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      async pull(controller) {
        const next = await network.read(id).catch((error) => {
          ended()
          signal?.throwIfAborted()
          throw error
        })
        if (next) {
          controller.enqueue(next)
          return
        }
        ended()
        controller.close()
      },
      cancel() {
        ended()
        void network.cancel(id)
      },
    },
    { highWaterMark: 0 },
  )
}
