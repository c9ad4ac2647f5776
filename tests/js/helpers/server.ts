import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** How an answer goes wrong. */
export type Fault = (response: ServerResponse, request: IncomingMessage) => void

/** One file behind a web server of its own, which can be told how to behave. */
export class FileServer {
  url = ''
  /** What is served. */
  file: Uint8Array
  etag: string | undefined = '"1"'
  modified: string | undefined = 'Mon, 01 Jan 2024 00:00:00 GMT'
  ranges = true
  /** What other origins may see beside what every server shows; `undefined`: they may see nothing. */
  exposed: string | undefined
  /** Request headers that other origins may send beside a plain `Range`. */
  allowed = ''
  /** For the next requests, one each, before all is well again. */
  readonly faults: Fault[] = []
  /** How every request is answered behind those faults, in the place of `serve`. */
  always: Fault | undefined
  /** The requests, in order: `GET bytes=0-9`. */
  readonly requests: string[] = []
  /** Their headers. */
  readonly headers: IncomingMessage['headers'][] = []
  /** The most requests that were unanswered at one time. */
  peak = 0
  /** Answers wait until so many requests are there. */
  crowd = 1
  #waiting: (() => void)[] = []
  #server: Server | undefined

  constructor(file: Uint8Array) {
    this.file = file
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => this.#receive(request, response))
    this.#server = server
    // One that was stopped comes back at its address.
    const port = this.url ? Number(new URL(this.url).port) : 0
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    // Browsers keep answers, and ports are used again.
    this.url ||= `http://127.0.0.1:${(server.address() as AddressInfo).port}/${randomUUID()}.qcow2`
    return this
  }

  stop(): void {
    this.#server?.closeAllConnections()
    this.#server?.close()
  }

  /** Lets the answers go that wait for more requests. */
  release(): void {
    this.crowd = 1
    for (const answer of this.#waiting.splice(0)) answer()
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    if (request.method !== 'OPTIONS') {
      this.requests.push(`${request.method} ${request.headers.range ?? 'whole'}`)
      this.headers.push(request.headers)
    }
    this.#waiting.push(() => this.#answer(request, response))
    this.peak = Math.max(this.peak, this.#waiting.length)
    if (this.#waiting.length >= this.crowd) for (const answer of this.#waiting.splice(0)) answer()
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.#permit(response)
    if (request.method === 'OPTIONS') {
      response.writeHead(204).end()
      return
    }
    const fault = this.faults.shift() ?? this.always
    if (fault) fault(response, request)
    else this.serve(response, request)
  }

  /** Answers as a server should (RFC 9110, section 14). */
  serve(response: ServerResponse, request: IncomingMessage): void {
    const { file, etag, modified } = this
    if (etag) response.setHeader('etag', etag)
    if (modified) response.setHeader('last-modified', modified)
    const { range, 'if-range': condition } = request.headers
    const wanted = /^bytes=(\d+)-(\d*)$/.exec(range ?? '')
    if (!this.ranges || !wanted || (condition && condition !== etag && condition !== modified)) {
      response.writeHead(200, { 'content-length': file.length })
      response.end(request.method === 'HEAD' ? undefined : file)
      return
    }
    const start = Number(wanted[1])
    const end = Math.min(wanted[2] ? Number(wanted[2]) + 1 : file.length, file.length)
    if (start >= file.length) {
      response.writeHead(416, { 'content-range': `bytes */${file.length}` }).end()
      return
    }
    const part = file.subarray(start, end)
    const headers = { 'content-range': `bytes ${start}-${end - 1}/${file.length}`, 'content-length': part.length }
    response.writeHead(206, headers).end(request.method === 'HEAD' ? undefined : part)
  }

  #permit(response: ServerResponse): void {
    if (this.exposed === undefined) return
    response.setHeader('access-control-allow-origin', '*')
    response.setHeader('access-control-allow-headers', this.allowed)
    if (this.exposed) response.setHeader('access-control-expose-headers', this.exposed)
  }
}

/** Answers with a status. */
export function status(code: number, headers: Record<string, string> = {}): Fault {
  return (response) => {
    response.writeHead(code, headers).end()
  }
}

/** Breaks the connection off before there is an answer. */
export const reset: Fault = (response) => {
  response.destroy()
}
