import { fromEngine } from './module.js'
import { editing } from './modules.js'

/** How clusters are compressed. */
export interface Packing {
  readonly compression: 'zlib' | 'zstd'
  /** In bytes: that of the image that they are for. */
  readonly clusterSize: number
}

/** Compressed clusters in a row, each as it is stored. */
export interface CompressedClusters {
  /** How many bytes each takes: 0 where all of it is zeros, a whole cluster where compression doesn't make it smaller. */
  readonly lengths: Uint32Array<ArrayBuffer>
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** Compresses clusters in this thread. */
export interface Packer {
  /** `disk` begins with a cluster; where the last one is not whole, it goes on with zeros. */
  pack(disk: Uint8Array): CompressedClusters
  free(): void
}

/** Loads the module if need be. */
export async function packer({ compression, clusterSize }: Packing): Promise<Packer> {
  const engine = await editing()
  const call = <T>(act: () => T): T => {
    try {
      return act()
    } catch (error) {
      throw fromEngine(error, engine)
    }
  }
  const wasm = call(() => new engine.WasmPacker(compression, clusterSize)) as Packer
  return { pack: (disk) => call(() => wasm.pack(disk)), free: () => wasm.free() }
}

/** Compresses the clusters of one image. */
export interface Packers {
  /** How many parts of the disk keep them busy. */
  readonly width: number
  /** Compresses a part of the disk. The array is gone afterwards. */
  pack(disk: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<CompressedClusters>
  /** Ends it; nothing may be under way. */
  end(): void
}
