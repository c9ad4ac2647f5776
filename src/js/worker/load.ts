import { editor, moduleFor } from '../engine/modules.js'
import { reader } from '../engine/reader.js'
import type { EngineName, WorkerMethods } from './protocol.js'
import type { Client } from './rpc/client.js'

const loading = new WeakMap<Client, Promise<void>>()

/** Makes the engine ready in a worker, with the modules that the page has: with the whole engine if it has to be `writable`. */
export async function load(client: Client<WorkerMethods>, writable: boolean): Promise<void> {
  // At the same time, and so that the caller gets the reason if it can't be loaded.
  await Promise.all([moduleFor(writable).compiled(), begin(client)])
}

/** Gives a worker the function that gets modules. */
function begin(client: Client<WorkerMethods>): Promise<void> {
  const begun = loading.get(client)
  if (begun) return begun
  const compiled = (name: unknown) => ((name as EngineName) === 'reader' ? reader : editor).compiled()
  const loaded = client.begun.then(() =>
    client.port.call('load', [client.provide(compiled), moduleFor(false) === reader]),
  )
  loading.set(client, loaded)
  // The next call tries again.
  loaded.catch(() => loading.delete(client))
  return loaded
}
