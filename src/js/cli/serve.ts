import { randomBytes } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { Arguments } from './arguments.js'
import type { Command } from './command.js'
import { Failure } from './failure.js'
import type { Host } from './host.js'
import type { ImageFile } from './image-file.js'
import { filesOf } from './open.js'
import { systemReason } from './secrets.js'
import { namedImage } from './spec.js'
import { Viewer } from './viewer.js'

/** No other machine reaches it there. */
const address = '127.0.0.1'

/** `serve`: shows a disk in the viewer, to this machine only. */
export const serve: Command = {
  summary: 'Shows a disk in the viewer, in a browser on this machine.',
  usage: 'serve [--port PORT] FILENAME',
  options: { port: { short: 'p', long: 'port', takesValue: true } },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const port = portOf(args.value('port') ?? '0')
    const name = args.onlyOperand()
    const viewer = Viewer.find(host.viewer)
    if (!viewer) throw new Failure('The viewer is not built. In a checkout of the project, `npm start` builds it.')
    const disk = new ServedDisk(await chainOf(host, name))
    const server = createServer((request, response) => answer(request, response, viewer, disk))
    const bound = await listening(server, port)
    const url = `http://${address}:${bound}/`
    const image = new URL(disk.first, url)
    host.out(`${url}#${new URLSearchParams({ image: image.href })}\n`)
    host.err(`Shows '${name}' to this machine only, and never changes it. Ctrl+C ends it.\n`)
    await aborted(host.signal)
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
    return 0
  },
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port <= 65535) return port
  throw new Failure(`Invalid port specified: '${text}'. Must be between 0 and 65535; 0 takes one that is free.`)
}

/** The file and the files below it; the file alone where the others cannot be opened: the viewer then asks for them. */
async function chainOf(host: Host, name: string): Promise<readonly ImageFile[]> {
  const spec = namedImage(name, undefined)
  const [file] = await filesOf(host, spec, { noBacking: true })
  if (!file) throw new Failure(`Could not open '${name}'`)
  if (!statSync(file.path).isFile()) throw new Failure(`Could not open '${name}': it is not a regular file`)
  return filesOf(host, spec).catch(() => [file])
}

function listening(server: Server, port: number): Promise<number> {
  return new Promise((done, failed) => {
    server.once('error', (error) => failed(new Failure(`Could not listen on port ${port}: ${systemReason(error)}`)))
    server.listen(port, address, () => done((server.address() as AddressInfo).port))
  })
}

/** Waits until the signal aborts; without one, until the program is ended. */
function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((done) => {
    if (signal?.aborted) done()
    signal?.addEventListener('abort', () => done(), { once: true })
  })
}

/** The files of a chain, at addresses that cannot be guessed: other users of the machine can reach the port. */
class ServedDisk {
  /** The address of the image. */
  readonly first: string
  readonly #files = new Map<string, string>()

  constructor(files: readonly ImageFile[]) {
    const secret = randomBytes(16).toString('hex')
    // A name that an image records leads to the same file, seen from the image's address.
    const addressOf = (path: string) => `/${secret}${resolve(path).split('/').map(encodeURIComponent).join('/')}`
    for (const { path, dataPath } of files) {
      for (const each of dataPath === undefined ? [path] : [path, dataPath])
        this.#files.set(addressOf(each), resolve(each))
    }
    this.first = addressOf(files[0]?.path ?? '')
  }

  /** The file at an address. */
  file(pathname: string): string | undefined {
    return this.#files.get(pathname)
  }
}

function answer(request: IncomingMessage, response: ServerResponse, viewer: Viewer, disk: ServedDisk): void {
  const { pathname } = new URL(request.url ?? '/', `http://${address}`)
  const [path, file] = [disk.file(pathname), viewer.file(pathname)]
  if (request.method !== 'GET' && request.method !== 'HEAD') refuse(response, 405, 'Only GET and HEAD are answered.')
  // A name that leads here from elsewhere would make a page of that name one of this origin.
  else if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) {
    refuse(response, 403, `The viewer is at ${address} only.`)
  } else if (path !== undefined) sendRange(request, response, path)
  else if (file) {
    response.writeHead(200, {
      'content-type': file.type,
      'content-length': statSync(file.path).size,
      'content-security-policy': viewer.policyOf(pathname),
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
    })
    send(request, response, file.path)
  } else if (pathname.startsWith('/emulator/')) {
    refuse(
      response,
      404,
      'This command shows disks. The page that starts machines is a part of the hosted viewer only.',
    )
  } else refuse(response, 404, 'There is no such file.')
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
}

/** Sends a file of the disk, or the part that is asked for. */
function sendRange(request: IncomingMessage, response: ServerResponse, path: string): void {
  const { size, mtimeNs } = statSync(path, { bigint: true })
  const length = Number(size)
  const etag = `"${size.toString(16)}-${mtimeNs.toString(16)}"`
  const headers = {
    'accept-ranges': 'bytes',
    etag,
    'content-type': 'application/octet-stream',
    'cache-control': 'no-store',
  }
  const condition = request.headers['if-range']
  const range = condition === undefined || condition === etag ? rangeOf(request.headers.range ?? '', length) : undefined
  if (range === 'outside') {
    response.writeHead(416, { ...headers, 'content-range': `bytes */${length}` }).end()
  } else if (range) {
    const [start, end] = range
    response.writeHead(206, {
      ...headers,
      'content-range': `bytes ${start}-${end}/${length}`,
      'content-length': end - start + 1,
    })
    send(request, response, path, { start, end })
  } else {
    response.writeHead(200, { ...headers, 'content-length': length })
    send(request, response, path)
  }
}

/** The first and the last byte that a `Range` header asks for; `undefined` for the whole file. */
function rangeOf(header: string, length: number): readonly [first: number, last: number] | 'outside' | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? []
  if (first === '' && last === '') return undefined
  const start = first === '' ? Math.max(0, length - Number(last)) : Number(first)
  const end = first === '' || last === '' ? length - 1 : Math.min(length - 1, Number(last))
  return start > end ? 'outside' : [start, end]
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  range: { readonly start?: number; readonly end?: number } = {},
): void {
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  const stream = createReadStream(path, range)
  // The response has begun. The client notices by its length that the rest is missing.
  stream.on('error', () => response.destroy())
  response.on('close', () => stream.destroy())
  stream.pipe(response)
}
