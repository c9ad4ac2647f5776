import { compiled } from '../engine/module.js'
import type { WorkerMethods } from './protocol.js'
import type { Client } from './rpc/client.js'

const loading = new WeakMap<Client, Promise<void>>()

/** Makes the engine ready in a worker, with the module that the page has. */
export function load(client: Client<WorkerMethods>): Promise<void> {
  const begun = loading.get(client)
  if (begun) return begun
  const loaded = Promise.all([compiled(), client.begun]).then(([module]) => client.port.call('load', [module]))
  loading.set(client, loaded)
  // The next call tries again.
  loaded.catch(() => loading.delete(client))
  return loaded
}
