import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type PreviewServer, preview } from 'vite'

const root = fileURLToPath(new URL('../../www', import.meta.url))
export const samplePath = join(root, 'public', 'sample.qcow2')

/** The built page behind a server of its own. */
export class PageServer {
  url = ''
  readonly #folder = mkdtempSync(join(tmpdir(), 'qcow2-web-page-'))
  #server: PreviewServer | undefined

  async start(): Promise<void> {
    // The test runner says "test", and Vite would build something else than what is published.
    process.env.NODE_ENV = 'production'
    const options = { root, configFile: join(root, 'vite.config.ts'), logLevel: 'error' } as const
    const outDir = this.#folder
    await build({ ...options, build: { outDir } })
    const where = { port: 0, host: '127.0.0.1', open: false }
    this.#server = await preview({ ...options, build: { outDir }, preview: where })
    this.url = `http://127.0.0.1:${(this.#server.httpServer.address() as AddressInfo).port}/`
  }

  stop(): void {
    const { httpServer } = this.#server ?? {}
    if (httpServer && 'closeAllConnections' in httpServer) httpServer.closeAllConnections()
    httpServer?.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
