import { type Packer, packer } from '../engine/packer.js'
import type { PackMethods } from './protocol.js'
import { Moved, type Served } from './rpc/port.js'

/** Packs clusters: in this worker, which does so for one image. */
export function packMethods(): Served<PackMethods> {
  let packing: Packer | undefined
  return {
    pack(how, disk) {
      packing ??= packer(how)
      const packed = packing.pack(disk)
      return new Moved(packed, [packed.lengths.buffer, packed.bytes.buffer])
    },
  }
}
