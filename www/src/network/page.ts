/** The page's side of the worker that alone may reach other servers. */

import { type Remote, transfer, wrap } from 'comlink'
import type { Gate } from './protocol'

let started: Remote<Gate> | null = null

/** The worker, which is started when it is needed: most people open files of their own. */
function gate(): Remote<Gate> {
  started ??= wrap<Gate>(new Worker(new URL('./network.ts', import.meta.url), { type: 'module', name: 'network' }))
  return started
}

/** True for the address of another server than the page's own. */
export const isElsewhere = (url: string): boolean => new URL(url, location.href).origin !== location.origin

/** Lets the file at an address be fetched, which the person has given. */
export async function allow(url: string): Promise<void> {
  await gate().allow(url)
}

/** A way to the network, for what fetches files. */
export function network(): MessagePort {
  const { port1, port2 } = new MessageChannel()
  void gate().serve(transfer(port1, [port1]))
  return port2
}
