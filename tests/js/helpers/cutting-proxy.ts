import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to a server on which connections are cut. */
export class CuttingProxy {
  /** How many bytes of answers pass until the next cut; then the next number counts. Behind the last one all is well. */
  readonly cuts: number[] = []
  readonly #target: URL
  readonly #server = createServer((client) => this.#pass(client))

  /** @param url an address of the server. */
  constructor(url: string) {
    this.#target = new URL(url)
  }

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  stop(): void {
    this.#server.close()
  }

  /** The address by which what is at an address of the server comes through here. */
  url(url: string): string {
    const through = new URL(url)
    through.port = String((this.#server.address() as AddressInfo).port)
    return through.href
  }

  #pass(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname)
    const end = () => {
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) socket.on('close', end).on('error', end)
    client.pipe(server)
    server.on('data', (bytes) => {
      const [left] = this.cuts
      client.write(left === undefined ? bytes : bytes.subarray(0, left))
      if (left === undefined) return
      if (bytes.length < left) {
        this.cuts[0] = left - bytes.length
        return
      }
      this.cuts.shift()
      server.pause()
      client.end(end)
    })
  }
}
