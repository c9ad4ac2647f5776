import { type Packer, packer } from '../engine/packer.js'
import type { PackMethods } from './protocol.js'
import { Moved, type Served } from './rpc/port.js'

/** Compresses clusters: in this worker, which does so for one image. */
export function packMethods(): Served<PackMethods> {
  let packing: Promise<Packer> | undefined
  return {
    async pack(how, disk) {
      packing ??= packer(how)
      const compressed = (await packing).pack(disk)
      return new Moved(compressed, [compressed.lengths.buffer, compressed.bytes.buffer])
    },
  }
}
