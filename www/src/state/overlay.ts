/** Making images over those on servers. */

import { signal } from '@preact/signals'
import { opfs } from 'qcow2-web'
import { engine } from '../engine/client'
import { nameOf } from '../engine/source'
import { freeName, lookAtStored } from './stored'
import { type Work, work } from './work'

/** The image that is being made, or why it was not. */
export const overlaying = signal<Work | null>(null)

/** Creates an image in the browser's storage over the one at `url`. Returns its path; `null` if it was not created. */
export async function makeOverlay(url: string): Promise<string | null> {
  await lookAtStored()
  const stem = nameOf({ url }).replace(/\.[^.]*$/, '')
  const path = freeName(`over ${stem}.qcow2`)
  const made = await work(overlaying, 'Making the image', (signal) => engine.overlay({ url }, path, signal))
  if (made) return path
  // What was begun of it is of no use.
  await opfs.delete(path).catch(() => {})
  await lookAtStored()
  return null
}
