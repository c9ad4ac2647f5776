import { integer } from '../base/arguments.js'
import { type CompressedClusters, type Packers, type Packing, packer } from '../engine/packer.js'
import { load } from '../worker/load.js'
import type { WorkerMethods } from '../worker/protocol.js'
import { Client } from '../worker/rpc/client.js'
import { packByNode } from './node-packers.js'

/** The most workers that are started unless more are asked for: writing doesn't keep up with more. */
const most = 8

/** How many workers are wanted; by default one a processor but the one that writes, and none where there are no workers. */
export function workersWanted(wanted: number | undefined): number {
  if (wanted !== undefined) return integer(wanted, 'workers')
  if (typeof Worker !== 'function') return 0
  return Math.min(most, Math.max(1, (navigator.hardwareConcurrency ?? 2) - 1))
}

/** Compresses in so many workers, or here where that is none. */
export function startPackers(workers: number, packing: Packing): Promise<Packers> {
  return workers === 0 ? packHere(packing) : Pool.start(workers, packing)
}

async function packHere(packing: Packing): Promise<Packers> {
  const byNode = packing.compression === 'zlib' ? packByNode(packing.clusterSize) : undefined
  if (byNode) return byNode
  const here = await packer(packing)
  return { width: 1, pack: async (disk) => here.pack(disk), end: () => here.free() }
}

/** Workers that compress for this image alone. */
class Pool implements Packers {
  readonly #packing: Packing
  readonly #workers: { readonly client: Client<WorkerMethods>; busy: number }[] = []

  static async start(count: number, packing: Packing): Promise<Pool> {
    const pool = new Pool(packing)
    try {
      for (let worker = 0; worker < count; worker += 1) pool.#workers.push({ client: Client.start(), busy: 0 })
      await Promise.all(pool.#workers.map(({ client }) => load(client, true)))
      return pool
    } catch (error) {
      pool.end()
      throw error
    }
  }

  private constructor(packing: Packing) {
    this.#packing = packing
  }

  /** One part is compressed by each, and the next one is there already. */
  get width(): number {
    return 2 * this.#workers.length
  }

  async pack(disk: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<CompressedClusters> {
    const worker = this.#workers.reduce((least, each) => (each.busy < least.busy ? each : least))
    worker.busy += 1
    try {
      return await worker.client.port.call('pack', [this.#packing, disk], { signal, transfer: [disk.buffer] })
    } finally {
      worker.busy -= 1
    }
  }

  end(): void {
    for (const { client } of this.#workers) client.release()
  }
}
