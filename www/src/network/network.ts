/**
 * The only worker whose policy permits other servers. It fetches nothing but the files at the addresses that the page has allowed,
 * because the person gave them; so what the engine reads of an image has no way to any other server.
 */

import { expose } from 'comlink'
import type { Gate } from './protocol'
import { requests } from './requests'

const allowed = new Set<string>()

/** The address without what no server sees. */
function addressOf(url: string): string {
  const address = new URL(url)
  address.hash = ''
  return address.href
}

const gate: Gate = {
  allow: (url) => void allowed.add(addressOf(url)),
  serve: (port) =>
    expose(
      requests((url) => allowed.has(addressOf(url))),
      port,
    ),
}

expose(gate)
