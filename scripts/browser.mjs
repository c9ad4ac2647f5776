// Where Chromium and its driver are.
import { existsSync } from 'node:fs'
import { which } from './lib.mjs'

const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome']
const elsewhere = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  `${process.env.PROGRAMFILES}\\Google\\Chrome\\Application\\chrome.exe`,
]

/** Chromium's program: `CHROMIUM` if it is set, else what is installed, else `undefined`. */
export function chromium() {
  const { CHROMIUM } = process.env
  if (CHROMIUM) return existsSync(CHROMIUM) ? CHROMIUM : which(CHROMIUM)
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
