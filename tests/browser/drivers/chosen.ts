import { launchChromium } from './chromium.js'
import type { Launch } from './driver.js'
import { launchFirefox } from './firefox.js'

const browsers = { chromium: launchChromium, firefox: launchFirefox }

/** The browser in which the tests run: that of `TEST_BROWSER`, or Chromium. */
export const browserName = (process.env.TEST_BROWSER ?? 'chromium') as keyof typeof browsers

export const launch: Launch = (profile) => browsers[browserName](profile)
