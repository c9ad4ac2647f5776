import { isZero } from '../base/bytes.js'
import { nodeModule } from '../base/node.js'
import type { CompressedClusters, Packers } from '../engine/packer.js'

/** What is used of `node:zlib`; declared here so that users of this package's types do not need Node's. */
interface Zlib {
  deflateRaw(
    bytes: Uint8Array,
    options: { readonly windowBits: number; readonly memLevel: number },
    done: (error: Error | null, compressed: Uint8Array) => void,
  ): void
}

/** As qemu-img writes clusters: readers may have a window of 4 KiB only. */
const options = { windowBits: 12, memLevel: 9 } as const

/** Compresses clusters with Node's zlib, several at a time, in threads of its own; `undefined` where there is none. */
export function packByNode(clusterSize: number): Packers | undefined {
  const zlib = nodeModule<Zlib>('node:zlib')
  if (!zlib) return undefined
  const pack = (cluster: Uint8Array) =>
    new Promise<Uint8Array>((resolve, reject) => {
      zlib.deflateRaw(cluster, options, (error, compressed) => (error ? reject(error) : resolve(compressed)))
    })
  return {
    width: 4,
    async pack(disk) {
      const clusters = Array.from({ length: Math.ceil(disk.length / clusterSize) }, async (_, index) => {
        const cluster = whole(disk.subarray(index * clusterSize, (index + 1) * clusterSize), clusterSize)
        if (isZero(cluster)) return new Uint8Array()
        const compressed = await pack(cluster)
        return compressed.length < clusterSize ? compressed : cluster
      })
      return joined(await Promise.all(clusters))
    },
    end: () => {},
  }
}

/** A cluster; one that the disk's end cuts off goes on with zeros. */
function whole(bytes: Uint8Array<ArrayBuffer>, clusterSize: number): Uint8Array<ArrayBuffer> {
  if (bytes.length === clusterSize) return bytes
  const cluster = new Uint8Array(clusterSize)
  cluster.set(bytes)
  return cluster
}

function joined(clusters: readonly Uint8Array[]): CompressedClusters {
  const lengths = Uint32Array.from(clusters, ({ length }) => length)
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  for (const each of clusters) {
    bytes.set(each, at)
    at += each.length
  }
  return { lengths, bytes }
}
