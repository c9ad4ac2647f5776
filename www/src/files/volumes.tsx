import { useEffect, useState } from 'preact/hooks'
import type { VolumeInfo, VolumeUsage } from 'qcow2-web/files'
import { engine } from '../engine/client'
import type { Disk } from '../engine/protocol'
import { noteUsage } from '../state/usage'
import { Icon } from '../ui/icon'
import { formatSize } from '../values/size'
import { volumeName, whyNoFiles } from './words'

interface Props {
  volumes: readonly VolumeInfo[]
  shown: VolumeInfo
  /** The ids of the containers that were unlocked. */
  unlocked: readonly string[]
  disk: Disk
  onChoose(volume: VolumeInfo): void
}

/** The volumes side by side, each with how full it is. */
export function Volumes({ volumes, shown, unlocked, disk, onChoose }: Props) {
  return (
    <div class="volumes" role="group" aria-label="Volumes">
      {volumes.map((volume) => (
        <VolumeButton
          key={volume.id}
          volume={volume}
          isShown={volume === shown}
          isUnlocked={unlocked.includes(volume.id)}
          disk={disk}
          onChoose={() => onChoose(volume)}
        />
      ))}
    </div>
  )
}

interface ButtonProps {
  volume: VolumeInfo
  isShown: boolean
  isUnlocked: boolean
  disk: Disk
  onChoose(): void
}

function VolumeButton({ volume, isShown, isUnlocked, disk, onChoose }: ButtonProps) {
  const usage = useUsage(volume, isShown, disk)
  const hasFiles = whyNoFiles(volume) === null
  return (
    <button
      type="button"
      class={`volume ${hasFiles ? '' : 'without'}`}
      data-volume={volume.id}
      aria-pressed={isShown}
      onClick={onChoose}
    >
      <Icon name={hasFiles ? 'drive' : isUnlocked ? 'unlock' : 'lock'} />
      <span class="name">{volumeName(volume)}</span>
      <span class="detail">
        {volume.title}, {formatSize(volume.length)}
      </span>
      {usage && (
        <>
          <span class="usage-bar" aria-hidden="true">
            <span class="swatch data" style={{ width: `${(100 * usage.used) / (usage.used + usage.free || 1)}%` }} />
          </span>
          <span class="detail">
            {formatSize(usage.used)} used, {formatSize(usage.free)} free
          </span>
        </>
      )}
      {!usage && !hasFiles && (
        <span class="detail">{isUnlocked ? 'unlocked' : volume.locked ? 'locked' : 'no files to show'}</span>
      )}
    </button>
  )
}

/** How full a volume is. Where the file system keeps no sum, it is counted once the volume is shown. */
function useUsage(volume: VolumeInfo, isShown: boolean, disk: Disk): VolumeUsage | null {
  const { id, used, free } = volume
  const known = used !== undefined && free !== undefined ? { used, free } : null
  const [counted, setCounted] = useState<VolumeUsage | null>(null)
  const counts = isShown && known === null && whyNoFiles(volume) === null
  useEffect(() => {
    if (!counts) return
    const controller = new AbortController()
    engine.usage({ snapshot: disk.snapshot, volume: id }, controller.signal).then(
      (usage) => {
        setCounted(usage ?? null)
        if (usage) noteUsage(disk.snapshot, id, usage)
      },
      // Its files may still be readable. If not, listing them reports the reason.
      () => {},
    )
    return () => controller.abort()
  }, [counts, id, disk])
  return known ?? counted
}
