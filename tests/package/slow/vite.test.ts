import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { install } from '../../js/helpers/package.js'
import { add, browse, completeWithFiles, Program, page, program, programWithFiles, tourOn, write } from '../lab.js'

const app = { 'index.html': page('./main.js'), 'main.js': programWithFiles, 'tour.js': program('qcow2-web') }
let folder = ''
let browser: Browser
const servers: Program[] = []

beforeAll(async () => {
  folder = install()
  add(folder, 'vite@7')
  // Not the app itself: Vite looks there for whatever is imported.
  write(folder, app)
  browser = await browse()
})

afterAll(async () => {
  await browser?.close()
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true, force: true })
})

async function serve(root: string, ...args: string[]): Promise<string> {
  const vite = join(folder, 'node_modules/vite/bin/vite.js')
  const server = await Program.start(root, [vite, ...args, '--host', '127.0.0.1', '--port', '0'])
  servers.push(server)
  return `${server.url}/index.html`
}

describe('Vite 7, which bundles packages beforehand', () => {
  it('needs nothing while an app is developed', async () => {
    expect(await tourOn(browser, await serve(folder))).toEqual(completeWithFiles)
  })

  it('needs one line where the package is not installed in the folder of the app, which the error names', async () => {
    const root = join(folder, 'packages/app')
    write(root, { ...app, 'package.json': '{ "private": true }' })
    const seen = await tourOn(browser, await serve(root))
    const line = /optimizeDeps: { exclude: \['qcow2-web'\] }/
    expect(seen.open).toMatch(line)
    expect(seen.files).toMatch(line)

    const excluded = "export default { optimizeDeps: { exclude: ['qcow2-web'] }, server: { fs: { strict: false } } }"
    write(root, { 'vite.config.js': excluded })
    expect(await tourOn(browser, await serve(root))).toEqual(completeWithFiles)
  })
})
