import { fromEngine, WasmPacker } from './module.js'

/** How clusters are packed. */
export interface Packing {
  readonly compression: 'zlib' | 'zstd'
  /** In bytes: that of the image that they are for. */
  readonly clusterSize: number
}

/** Compressed clusters in a row, each as it is stored. */
export interface PackedClusters {
  /** How many bytes each takes: 0 where all of it is zeros, a whole cluster where packing doesn't make it smaller. */
  readonly lengths: Uint32Array<ArrayBuffer>
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** Packs clusters in this thread. */
export interface Packer {
  /** `disk` begins with a cluster; where the last one is not whole, it goes on with zeros. */
  pack(disk: Uint8Array): PackedClusters
  free(): void
}

/** The module must have been loaded. */
export function packer({ compression, clusterSize }: Packing): Packer {
  try {
    return new WasmPacker(compression, clusterSize) as Packer
  } catch (error) {
    throw fromEngine(error)
  }
}

/** Compresses the clusters of one image. */
export interface Packers {
  /** How many parts of the disk keep them busy. */
  readonly width: number
  /** Packs a part of the disk. The array is gone afterwards. */
  pack(disk: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<PackedClusters>
  /** Ends it; nothing may be under way. */
  end(): void
}
