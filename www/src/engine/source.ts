/** Where the bytes of a file come from. */

import { type AsyncStorage, blob, http, opfs, type Storage } from 'qcow2-web'
import { type Fetch, fetchThrough } from '../network/fetch'
import { keptBlob } from './kept-blob'
import type { Progress } from './protocol'

/** A file on a server, read in parts as they are needed. */
export interface Remote {
  url: string
}

/** A file that the browser keeps, by its path in the page's storage. */
export interface Stored {
  path: string
}

/** A file that the person gave, one on a server, or one that the browser keeps. */
export type Source = File | Remote | Stored

/** A source in use. */
export interface SourceFile {
  readonly source: Source
  readonly name: string
  readonly storage: Storage
}

export async function sourceFile(source: Source): Promise<SourceFile> {
  return { source, name: nameOf(source), storage: await storageOf(source) }
}

async function storageOf(source: Source): Promise<Storage> {
  if ('url' in source) return remote(source.url)
  // The file as it is now. If it is changed, reading it fails.
  return blob('path' in source ? await opfs.file(source.path) : source)
}

/** Where the browser keeps it, if it does. */
export const pathOf = ({ source }: SourceFile): string | null => ('path' in source ? source.path : null)

/** How much of files on servers the browser keeps for the next time, in bytes. */
const kept = 256 * 2 ** 20

/** Fetches files of other servers, which the worker itself must not reach. */
let elsewhere: Fetch | undefined

/** Takes the way to other servers. */
export function useNetwork(port: MessagePort): void {
  elsewhere = fetchThrough(port)
}

/** A file on a server. The browser keeps the blocks that were read. */
export const remote = (url: string): AsyncStorage => http(url, { persistentCache: kept, fetchFn: fetchFor(url) })

/** A whole file from a server. */
export async function download(
  url: string,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<Blob> {
  const response = await (fetchFor(url) ?? fetch)(url, { signal })
  if (!response.ok || !response.body) throw new Error(`the server answered ${response.status}.`)
  // For a response that is sent compressed, the header has the compressed length.
  const isPlain = response.headers.get('content-encoding') === null
  const total = isPlain ? Number(response.headers.get('content-length')) : 0
  return keptBlob(response.body, signal, (done) => onProgress({ done, total: Math.max(done, total) }))
}

/** How a file is fetched; `undefined` for the page's own server. */
const fetchFor = (url: string): Fetch | undefined =>
  new URL(url, location.href).origin === location.origin ? undefined : elsewhere

/** The last part of its path. */
export function nameOf(source: Source): string {
  if ('path' in source) return source.path.slice(source.path.lastIndexOf('/') + 1)
  if (!('url' in source)) return source.name
  const { pathname, hostname } = new URL(source.url)
  const last = pathname.split('/').pop()
  return last ? decodeURIComponent(last) : hostname
}

/** Opens a storage for as long as `use` takes. That costs no request while an image has the storage open too. */
export async function using<T>(storage: Storage, use: () => T | Promise<T>): Promise<T> {
  await storage.open?.()
  try {
    return await use()
  } finally {
    await storage.close?.()
  }
}

export const sizeOf = ({ storage }: SourceFile): Promise<number> => using(storage, () => storage.size())

export function readFrom({ storage }: SourceFile, offset: number, length: number, signal: AbortSignal) {
  return using(storage, async () => {
    const count = Math.max(0, Math.min(length, (await storage.size()) - offset))
    const bytes = new Uint8Array(count)
    if (count === 0) return bytes
    if ('readSync' in storage) storage.readSync(offset, bytes)
    else bytes.set(await storage.read(offset, count, { signal }))
    return bytes
  })
}

/** The last part of a recorded name, in small letters: other systems have names without case. */
export const baseName = (recorded: string): string => (nameIn(recorded).split(/[\\/]/).pop() ?? '').toLowerCase()

/** The address in a recorded name, if it is one; without what an overlay records of the file's state. */
export function addressIn(name: string): string | null {
  return /^https?:\/\//i.test(name) && URL.canParse(name) ? nameIn(name) : null
}

/** A recorded name without what an overlay records of the file's state. */
export const nameIn = (recorded: string): string => recorded.replace(/#size=[^#]*$/, '')
