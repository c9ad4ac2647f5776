/** Which disk the machine is to start from: the address names it, or the viewer that opened this page hands it over. */

import type { Source } from '../src/engine/source'
import { STORED } from '../src/state/route'

/** What this page asks its opener for, and what the answer is called. */
const ASK = 'qcow2-web: which disk?'
const ANSWER = 'qcow2-web: this disk'

/** Samples that are served with the page. */
const SAMPLES: Record<string, string> = { sample: '../sample.qcow2', bootable: '../bootable.qcow2' }

/** The source that the address names, if it does. */
export function namedSource(hash: string): Source | null {
  const image = new URLSearchParams(hash.replace(/^#/, '')).get('image')
  if (image === null) return null
  const sample = Object.hasOwn(SAMPLES, image) ? SAMPLES[image] : undefined
  if (sample !== undefined) return { url: new URL(sample, location.href).href }
  if (image.startsWith(STORED)) return { path: image.slice(STORED.length) }
  return /^https?:\/\//i.test(image) && URL.canParse(image) ? { url: image } : null
}

/** Asks the viewer for its file; `null` if no viewer has opened this page. */
export function askOpener(): Promise<Source> | null {
  const opener: Window | null = window.opener
  if (!opener) return null
  return new Promise((resolve) => {
    const onMessage = ({ source, origin, data }: MessageEvent) => {
      if (source !== opener || origin !== location.origin || data?.kind !== ANSWER) return
      window.removeEventListener('message', onMessage)
      resolve(data.source as Source)
    }
    window.addEventListener('message', onMessage)
    opener.postMessage({ kind: ASK }, location.origin)
  })
}

/** Opens this page for a source, from the viewer. `address` names the source, if one does. */
export function openEmulator(source: Source, address: string | null): void {
  const url = new URL('./emulator/', location.href)
  url.hash = address === null ? '' : new URLSearchParams({ image: address }).toString()
  const page = window.open(url)
  if (!page || address !== null) return
  const onMessage = (event: MessageEvent) => {
    if (event.source !== page || event.origin !== location.origin || event.data?.kind !== ASK) return
    page.postMessage({ kind: ANSWER, source }, location.origin)
  }
  // For as long as this page lives: the other one asks again when it is reloaded.
  window.addEventListener('message', onMessage)
}
