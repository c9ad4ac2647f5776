import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { type BrowserContext, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { useInstalledPackage } from './installed.js'
import {
  base64,
  browserArguments,
  complete,
  executablePath,
  expected,
  page,
  program,
  type Tour,
  tourOn,
  write,
} from './lab.js'

/** What works where no worker can be started. */
const withoutWorkers = { open: expected, worker: expect.stringContaining('There are no workers here'), opfs: expected }
const tour = program('../node_modules/qcow2-web/dist/index.js')
const project = useInstalledPackage()

describe('without workers of their own', () => {
  it('a SharedWorker opens a disk, and keeps it', async () => {
    write(join(project.folder, 'shared'), {
      'index.html': page('./page.js'),
      'page.js': `globalThis.tour = (text) => {
        const { port } = new SharedWorker('./worker.js', { type: 'module' })
        port.postMessage(text)
        return new Promise((resolve) => (port.onmessage = ({ data }) => resolve(data)))
      }`,
      'worker.js': `import { tour } from './tour.js'
        onconnect = ({ ports: [port] }) => (port.onmessage = async ({ data }) => port.postMessage(await tour(data)))`,
      'tour.js': tour,
    })
    expect(await tourOn(project.browser, `${project.site.url}/shared/index.html`)).toEqual(withoutWorkers)
  })

  it('a ServiceWorker opens a disk, and keeps it', async () => {
    write(join(project.folder, 'service'), {
      'index.html': page('./page.js'),
      'page.js': `globalThis.tour = async (text) => {
        const { serviceWorker } = navigator
        await serviceWorker.register('./worker.js', { type: 'module' })
        const { active } = await serviceWorker.ready
        active.postMessage(text)
        return new Promise((resolve) => (serviceWorker.onmessage = ({ data }) => resolve(data)))
      }`,
      'worker.js': `import { tour } from './tour.js'
        onmessage = (event) => event.waitUntil(tour(event.data).then((seen) => event.source.postMessage(seen)))`,
      'tour.js': tour,
    })
    expect(await tourOn(project.browser, `${project.site.url}/service/index.html`)).toEqual(withoutWorkers)
  })
})

describe('an extension', () => {
  let context: BrowserContext
  let url = ''

  beforeAll(async () => {
    const extension = join(project.folder, 'extension')
    const manifest = {
      manifest_version: 3,
      name: 'disks',
      version: '1',
      background: { service_worker: 'background.js', type: 'module' },
      // What extensions may have at most, and what WebAssembly needs.
      content_security_policy: { extension_pages: "script-src 'self' 'wasm-unsafe-eval'" },
    }
    write(extension, {
      'manifest.json': JSON.stringify(manifest),
      'index.html': page('./tour.js'),
      'background.js': "import './tour.js'",
      'tour.js': program('./qcow2-web/dist/index.js'),
    })
    cpSync(join(project.folder, 'node_modules/qcow2-web'), join(extension, 'qcow2-web'), { recursive: true })
    context = await chromium.launchPersistentContext(join(project.folder, 'profile'), {
      executablePath,
      args: [...browserArguments, `--disable-extensions-except=${extension}`, `--load-extension=${extension}`],
      ignoreDefaultArgs: ['--disable-extensions'],
    })
    const background = context.serviceWorkers()[0] ?? (await context.waitForEvent('serviceworker'))
    url = new URL('index.html', background.url()).href
  })

  afterAll(() => context?.close())

  it('opens a disk on its page, in a worker, and keeps it', async () => {
    expect(await tourOn(context, url)).toEqual(complete)
  })

  it('opens a disk in its background, and keeps it', async () => {
    const [background] = context.serviceWorkers()
    const seen = await background?.evaluate(
      (text) => (globalThis as unknown as { tour(text: string): Promise<Tour> }).tour(text),
      base64,
    )
    expect(seen).toEqual(withoutWorkers)
  })
})
