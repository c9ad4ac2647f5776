import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { install } from '../../js/helpers/package.js'
import { add, browse, completeWithFiles, page, program, programWithFiles, Site, tourOn, write } from '../lab.js'

let folder = ''
let browser: Browser
let site: Site

beforeAll(async () => {
  folder = install()
  add(folder, 'parcel@2')
  site = await Site.of(folder)
  browser = await browse()
})

afterAll(async () => {
  await browser?.close()
  site?.close()
  rmSync(folder, { recursive: true, force: true })
})

it('Parcel 2 builds an app without configuration, and adds no package to it', async () => {
  write(folder, { 'index.html': page('./main.js'), 'main.js': programWithFiles, 'tour.js': program('qcow2-web') })
  const parcel = join(folder, 'node_modules/.bin/parcel')
  const args = ['build', 'index.html', '--public-url', './', '--no-autoinstall', '--no-cache']
  execFileSync(parcel, args, { cwd: folder, stdio: 'pipe' })
  expect(await tourOn(browser, `${site.url}/dist/index.html`)).toEqual(completeWithFiles)
})
