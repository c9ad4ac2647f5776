import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { gzipSync } from 'node:zlib'

/** Other origins may read what the server answers. */
const permitted = 'add_header Access-Control-Allow-Origin * always;'
const exposed = `${permitted} add_header Access-Control-Expose-Headers "Content-Range, ETag" always;`
/** The page that asks may send a password. */
const trusting = `
  add_header Access-Control-Allow-Origin $http_origin always;
  add_header Access-Control-Allow-Credentials true always;
  add_header Access-Control-Allow-Headers "Authorization, Range" always;
  if ($request_method = OPTIONS) { return 204; }`

/** The ways in which the server serves its files: the first folder of a path, and what is configured for it. */
const ways = {
  plain: '',
  open: exposed,
  caching: `expires 1d; ${exposed} add_header Access-Control-Allow-Headers Cache-Control always;
    if ($request_method = OPTIONS) { return 204; }`,
  bare: permitted,
  whole: `max_ranges 0; ${permitted}`,
  dated: 'etag off;',
  packed: `gzip on; gzip_types *; gzip_min_length 0; ${exposed}`,
  prepacked: `gzip_static on; max_ranges 0; ${exposed}`,
  slow: 'limit_rate 1k; limit_rate_after 300k;',
  'slow-whole': 'limit_rate 1k; limit_rate_after 300k; max_ranges 0;',
  secret: `auth_basic members; auth_basic_user_file members; ${trusting}`,
  'no-head': `if ($request_method = HEAD) { return 405; } ${permitted}`,
  dropped: 'return 444;',
  forbidden: 'return 403;',
  broken: 'return 500;',
} as const

/** Ways that lead to another address of the same server, or of the other. */
const moves = { 301: '', 302: '', 307: '', 308: '', elsewhere: 'the other' } as const

/** How a file is served. */
export type Way = keyof typeof ways | `moved/${keyof typeof moves}`

/** nginx as one process with a configuration of its own, in a temporary folder; of it come two origins with the same files. */
export class Nginx {
  readonly #folder = mkdtempSync(join(tmpdir(), 'qcow2-web-nginx-'))
  #origins: readonly string[] = []
  #process: ChildProcess | undefined
  #puts = 0

  async start(): Promise<void> {
    mkdirSync(join(this.#folder, 'files'))
    writeFileSync(join(this.#folder, 'members'), 'me:{PLAIN}secret\n')
    const ports = await freePorts(2)
    this.#origins = ports.map((port) => `http://127.0.0.1:${port}`)
    writeFileSync(join(this.#folder, 'nginx.conf'), this.#configuration(ports))
    const nginx = spawn('nginx', ['-p', this.#folder, '-c', 'nginx.conf', '-e', 'stderr'], {
      // Debian's folder for servers is not on the PATH of all users.
      env: { PATH: [process.env.PATH, '/usr/sbin'].join(delimiter) },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#process = nginx
    await ready(nginx)
  }

  async stop(): Promise<void> {
    if (this.#process?.exitCode === null && this.#process.kill()) await once(this.#process, 'exit')
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Puts a file there, or another in its place, which is a day younger. */
  put(name: string, bytes: Uint8Array): void {
    this.#puts += 1
    const date = new Date(Date.UTC(2024, 0, this.#puts))
    const forms = { '': bytes, '.gz': gzipSync(bytes, { level: 1 }) }
    for (const [suffix, form] of Object.entries(forms)) {
      writeFileSync(this.#path(name + suffix), form)
      utimesSync(this.#path(name + suffix), date, date)
    }
  }

  /** Removes a file. */
  remove(name: string): void {
    rmSync(this.#path(name))
  }

  /** The address of a file that is served in a way. */
  url(way: Way, name: string): string {
    return `${this.#origins[0]}/${way}/${name}`
  }

  #path(name: string): string {
    return join(this.#folder, 'files', name)
  }

  #configuration(ports: readonly number[]): string {
    const files = join(this.#folder, 'files')
    const [, other] = this.#origins
    const serving = Object.entries(ways).map(([way, how]) => `location /${way}/ { alias ${files}/; ${how} }`)
    const moving = Object.entries(moves).map(([how, where]) => {
      const [status, origin] = where ? [302, other] : [how, '']
      return `location ~ ^/moved/${how}/(.*)$ { ${exposed} return ${status} ${origin}/open/$1; }`
    })
    const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    return `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
  access_log off;
  absolute_redirect off;
  sendfile on;
  ${folders.map((name) => `${name}_temp_path ${name};`).join(' ')}
  server {
    ${ports.map((port) => `listen 127.0.0.1:${port};`).join(' ')}
    ${[...serving, ...moving].join('\n    ')}
  }
}
`
  }
}

/** Ports that nobody listens at. Somebody may before nginx does: then it says so, and ends. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Waits until it listens, which it does before it chooses how to wait for requests. */
async function ready(nginx: ChildProcess): Promise<void> {
  if (!nginx.stderr) throw new Error('Its messages are not to be seen.')
  const said: string[] = []
  const failed = once(nginx, 'error').then(([error]) => Promise.reject(error))
  const listening = new Promise<void>((resolve, reject) => {
    const lines = createInterface({ input: nginx.stderr as NodeJS.ReadableStream })
    lines.on('line', (line) => {
      said.push(line)
      if (line.includes('event method')) resolve()
    })
    lines.once('close', () => reject(new Error(`nginx has ended:\n${said.join('\n')}`)))
  })
  await Promise.race([listening, failed])
}
