import { rmSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll } from 'vitest'
import { install } from '../js/helpers/package.js'
import { browse, Site } from './lab.js'

/**
 * Installs the packed package in a folder before the tests of a file, serves the folder, and starts a browser; all of it ends
 * behind them. `prepare` puts more into the folder.
 */
export function useInstalledPackage(prepare: (folder: string) => void = () => {}) {
  let folder = ''
  let site: Site
  let browser: Browser
  beforeAll(async () => {
    folder = install()
    prepare(folder)
    site = await Site.of(folder)
    browser = await browse()
  })
  afterAll(async () => {
    await browser?.close()
    site?.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    get folder(): string {
      return folder
    },
    get site(): Site {
      return site
    },
    get browser(): Browser {
      return browser
    },
  }
}
