import { beginTurn, shareThread } from '../engine/time-slices.js'
import { fileMethods } from './files.js'
import { imageMethods } from './images.js'
import { packMethods } from './packing.js'
import { Port } from './rpc/port.js'
import type { Message, PageMethods } from './rpc/protocol.js'

/** What is used of a dedicated worker's scope; its types don't go together with those of pages. */
export interface WorkerScope {
  addEventListener(type: 'message', listener: (event: { readonly data: Message }) => void): void
  postMessage(message: Message, transfer: Transferable[]): void
}

/** The worker's side: serves a page's calls. */
export function serve(scope: WorkerScope): void {
  shareThread()
  const methods = { begin: hold }
  const page = new Port<PageMethods>((message, transfer) => scope.postMessage(message, transfer), methods)
  Object.assign(methods, fileMethods(), imageMethods(page), packMethods())
  scope.addEventListener('message', ({ data }) => {
    beginTurn()
    if (data?.qcow2) page.hear(data)
  })
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
