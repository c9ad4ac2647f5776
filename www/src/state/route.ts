/** The view, kept in the address's fragment, so that it can be bookmarked and shared, and Back works. */

import { effect, signal } from '@preact/signals'
import type { FilePath } from 'qcow2-web/files'
import { bytesOf, hexOf, ROOT } from '../files/path'
import { formatOffset, parseOffset } from '../values/offset'

export const PANELS = ['files', 'overview', 'map', 'hex', 'snapshots', 'check'] as const
export type Panel = (typeof PANELS)[number]

export interface Route {
  /** `null` until the disk has been looked at: one with files opens on those. */
  panel: Panel | null
  /** The offset that the map and the hex view look at. */
  at: bigint
  /** What the hex view shows: "disk", or the key of a file. */
  of: string
  /** How many bytes a cell of the map stands for; 0 is the whole disk. */
  cell: number
  snapshot: string | null
  /** The volume whose files are shown, by its id; `null` for the first one that has files. */
  volume: string | null
  /** The directory that is shown, with a slash at its end, or a file in it. */
  path: FilePath
  /**
   * The image, where it can be opened again by its address: "sample", a URL, or "stored:" and its path in the browser's
   * storage.
   */
  image: string | null
}

export const START: Route = {
  panel: null,
  at: 0n,
  of: 'disk',
  cell: 0,
  snapshot: null,
  volume: null,
  path: ROOT,
  image: null,
}

/** Before the path of an image that the browser keeps. */
export const STORED = 'stored:'

/** Browsers refuse more than a few address changes a second. */
const WRITE_DELAY = 250

export const route = signal<Route>(parseRoute(location.hash))

/** Moves within the page. `push` makes a step that the browser's Back button undoes. */
export function go(change: Partial<Route>, history: 'push' | 'replace' = 'replace'): void {
  if (history === 'push') {
    writeNow()
    window.history.pushState(null, '', writeRoute({ ...route.value, ...change }))
  }
  route.value = { ...route.value, ...change }
}

export function parseRoute(hash: string): Route {
  const fields = new URLSearchParams(hash.replace(/^#/, ''))
  const panel = PANELS.find((name) => name === fields.get('panel'))
  const cell = Number(fields.get('cell') ?? 0)
  const at = parseOffset(fields.get('at') ?? '0', 0n)
  return {
    panel: panel ?? START.panel,
    at: at !== null && at >= 0n ? at : START.at,
    of: fields.get('of') ?? START.of,
    cell: Number.isSafeInteger(cell) && cell > 0 ? cell : START.cell,
    snapshot: fields.get('snapshot'),
    volume: fields.get('volume'),
    path: parsePath(fields),
    image: fields.get('image'),
  }
}

export function writeRoute(to: Route): string {
  const fields = new URLSearchParams()
  if (to.image !== null) fields.set('image', to.image)
  if (to.panel !== null) fields.set('panel', to.panel)
  if (to.at !== START.at) fields.set('at', formatOffset(to.at))
  if (to.of !== START.of) fields.set('of', to.of)
  if (to.cell !== START.cell) fields.set('cell', String(to.cell))
  if (to.snapshot !== null) fields.set('snapshot', to.snapshot)
  if (to.volume !== null) fields.set('volume', to.volume)
  // Bytes only where the path has no text.
  if (typeof to.path !== 'string') fields.set('path-bytes', hexOf(to.path))
  else if (to.path !== START.path) fields.set('path', to.path)
  return `#${fields}`
}

function parsePath(fields: URLSearchParams): FilePath {
  const bytes = bytesOf(fields.get('path-bytes') ?? '')
  if (bytes) return bytes
  const text = fields.get('path') ?? ''
  return text.startsWith('/') ? text : `/${text}`
}

let pending: ReturnType<typeof setTimeout> | undefined

function writeNow(): void {
  clearTimeout(pending)
  pending = undefined
  const hash = writeRoute(route.peek())
  if (hash !== location.hash) window.history.replaceState(null, '', hash)
}

/** Keeps the address and the route the same, whichever of them changes. */
export function followAddress(): void {
  window.addEventListener('popstate', () => {
    clearTimeout(pending)
    route.value = parseRoute(location.hash)
  })
  let first = true
  effect(() => {
    void route.value
    if (!first) {
      clearTimeout(pending)
      pending = setTimeout(writeNow, WRITE_DELAY)
    }
    first = false
  })
}
