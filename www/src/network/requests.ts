/** The requests that come through a port to the worker that alone may reach other servers. */

import { transfer } from 'comlink'
import type { Answered, Asked, Network } from './protocol'

interface Running {
  readonly abort: AbortController
  reader?: ReadableStreamDefaultReader<Uint8Array> | undefined
}

/** Answers the requests of one port, for addresses that `isAllowed` knows. */
export function requests(isAllowed: (url: string) => boolean): Network {
  const running = new Map<number, Running>()
  const cancel = (id: number) => {
    running.get(id)?.abort.abort()
    running.delete(id)
  }

  return {
    async fetch(id: number, { url, method, headers, redirect, cache }: Asked): Promise<Answered> {
      if (!isAllowed(url)) throw new TypeError(`The page was not given the address ${url}.`)
      if (method !== 'GET' && method !== 'HEAD') throw new TypeError(`${method} is no request for a file.`)
      const abort = new AbortController()
      const request: Running = { abort }
      running.set(id, request)
      try {
        const { signal } = abort
        const ranged = headers.filter(([name]) => name === 'range' || name === 'if-range')
        const how: RequestInit = { method, headers: ranged, redirect, cache, signal }
        const response = await fetch(url, { ...how, credentials: 'omit', referrerPolicy: 'no-referrer' })
        request.reader = response.body?.getReader()
        const { type, status } = response
        return { type, status, headers: [...response.headers], hasBody: request.reader !== undefined }
      } catch (error) {
        running.delete(id)
        throw error
      }
    },

    async read(id: number): Promise<Uint8Array | null> {
      const { reader } = running.get(id) ?? {}
      if (!reader) throw new TypeError('The request has ended.')
      const next = await reader.read()
      if (next.done) {
        running.delete(id)
        return null
      }
      const bytes = next.value.byteLength === next.value.buffer.byteLength ? next.value : next.value.slice()
      return transfer(bytes, [bytes.buffer])
    },

    cancel,
  }
}
