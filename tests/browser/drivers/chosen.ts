import { launchChromium } from './chromium.js'
import type { Launch } from './driver.js'
import { launchFirefox } from './firefox.js'
import { launchWebkit } from './webkit.js'

const browsers = { chromium: launchChromium, firefox: launchFirefox, webkit: launchWebkit }

/** The browser in which the tests run: that of `TEST_BROWSER`, or Chromium. */
export const browserName = (process.env.TEST_BROWSER ?? 'chromium') as keyof typeof browsers

/** WebKitGTK has no origin-private file system, but a beginning of one that is switched off. */
export const hasOpfs = browserName !== 'webkit'

/** By WebDriver, pages are asked one at a time: what one waits for can't be done in another. */
export const pagesTogether = browserName !== 'webkit'

export const launch: Launch = (profile) => browsers[browserName](profile)
