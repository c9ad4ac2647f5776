import type { Disk, OpenedImage } from '../engine/protocol'
import { KeySlots } from '../key-slots/panel'
import { Extras } from './extras'
import { Facts } from './facts'
import { Files } from './files'
import { Partitions } from './partitions'
import { Usage } from './usage'

/** What `qemu-img info` reports, and a little more. */
export function Overview({ image, disk }: { image: OpenedImage; disk: Disk }) {
  return (
    <div class="overview">
      <Partitions disk={disk} />
      <Facts image={image} disk={disk} />
      <div class="column">
        <Usage disk={disk} />
        <Files image={image} />
      </div>
      {image.info.encryption?.format === 'luks' && <KeySlots image={image} luks={image.info.encryption} />}
      <Extras info={image.info} />
    </div>
  )
}
