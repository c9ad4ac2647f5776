// Where the browsers are, and what drives them.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { which } from './lib.mjs'

const chromiumNames = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome']
const chromiumElsewhere = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  `${process.env.PROGRAMFILES}\\Google\\Chrome\\Application\\chrome.exe`,
]
const firefoxNames = ['firefox', 'firefox-esr']
const firefoxElsewhere = [
  '/Applications/Firefox.app/Contents/MacOS/firefox',
  `${process.env.PROGRAMFILES}\\Mozilla Firefox\\firefox.exe`,
]

/** Chromium's program: `CHROMIUM` if it is set, else what is installed, else `undefined`. */
export function chromium() {
  return find(process.env.CHROMIUM, chromiumNames, chromiumElsewhere)
}

/** Firefox's program: `FIREFOX` if it is set, else what is installed, else `undefined`. */
export function firefox() {
  return find(process.env.FIREFOX, firefoxNames, firefoxElsewhere)
}

/** WebKitGTK's own small browser, which is not on PATH: `MINIBROWSER` if it is set, else what is installed, else `undefined`. */
export function miniBrowser() {
  const libraries = existsSync('/usr/lib') ? readdirSync('/usr/lib').map((name) => join('/usr/lib', name)) : []
  const versions = ['webkitgtk-6.0', 'webkit2gtk-4.1', 'webkit2gtk-4.0']
  const folders = [...libraries, '/usr/libexec'].flatMap((folder) => versions.map((name) => join(folder, name)))
  return find(
    process.env.MINIBROWSER,
    [],
    folders.map((folder) => join(folder, 'MiniBrowser')),
  )
}

function find(chosen, names, elsewhere) {
  if (chosen) return existsSync(chosen) ? chosen : which(chosen)
  return names.map(which).find(Boolean) ?? elsewhere.find(existsSync)
}

/** The WebDriver server of Chromium: `CHROMEDRIVER` if it is set, else the one on PATH, else `undefined`. */
export function chromedriver() {
  const { CHROMEDRIVER } = process.env
  return CHROMEDRIVER && existsSync(CHROMEDRIVER) ? CHROMEDRIVER : which('chromedriver')
}

/** Arguments with which Chromium runs unattended, also as root and without a network. */
export const chromiumArguments = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
