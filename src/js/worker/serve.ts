import { Qcow2Error } from '../base/errors.js'
import { beginTurn, shareThread } from '../engine/time-slices.js'
import { fileMethods } from './files.js'
import { imageMethods } from './images.js'
import { packMethods } from './packing.js'
import type { BeginMethods, PageMethods } from './rpc/client.js'
import { type Message, protocolVersion } from './rpc/messages.js'
import { Port, type Served } from './rpc/port.js'
import { StorageTable } from './rpc/storages.js'

/** What is used of a dedicated worker's scope; its types don't go together with those of pages. */
export interface WorkerScope {
  addEventListener(type: 'message', listener: (event: { readonly data: Message }) => void): void
  postMessage(message: Message, transfer: Transferable[]): void
}

/** The worker's side: serves a page's calls. */
export function serve(scope: WorkerScope): void {
  shareThread()
  const storages = new StorageTable()
  const methods: Served<BeginMethods> = { begin }
  const page = new Port<PageMethods>((message, transfer) => scope.postMessage(message, transfer), methods)
  Object.assign(methods, storages.methods, fileMethods(storages), imageMethods(page), packMethods())
  scope.addEventListener('message', ({ data }) => {
    beginTurn()
    if (data?.qcow2) page.hear(data)
  })
}

function begin(version: number, lock: string | undefined): void | Promise<void> {
  if (version === protocolVersion) return hold(lock)
  const reason = `The page and the worker load different versions of qcow2-web (${version} and ${protocolVersion}).`
  throw new Qcow2Error('WORKER_MISMATCH', `${reason} Load both from the same release.`)
}

/** Takes a lock, and holds it for as long as the worker lives. */
function hold(name: string | undefined): void | Promise<void> {
  if (!name) return
  return new Promise((resolve, reject) => {
    const held = () => {
      resolve()
      return new Promise(() => {})
    }
    navigator.locks.request(name, held).catch(reject)
  })
}
