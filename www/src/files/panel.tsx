import type { VolumeInfo } from 'qcow2-web/files'
import type { Disk } from '../engine/protocol'
import { go, route, START } from '../state/route'
import { Notice } from '../ui/notice'
import { Browser } from './browser'
import { LockedVolume } from './locked-volume'
import { useVolumes } from './use-volumes'
import { Volumes } from './volumes'
import { volumeName, whyNoFiles } from './words'

const UNLOCKED = 'It is unlocked. What is in it is listed beside it.'

/** The volumes of the disk, and the files of one of them. */
export function FilesPanel({ name, disk }: { name: string; disk: Disk }) {
  const { list, problem, reload } = useVolumes(disk)
  if (problem) return <Notice tone="bad">The volumes of the disk could not be found: {problem}</Notice>
  if (!list) {
    return (
      <p class="empty soft" role="status">
        Looking for files…
      </p>
    )
  }
  const { volumes } = list
  const shown = volumes.find(({ id }) => id === route.value.volume) ?? firstOf(volumes)
  if (!shown) return <p class="empty soft">There is nothing on this disk.</p>
  const why = whyNoFiles(shown)
  const isUnlocked = list.unlocked.includes(shown.id)
  return (
    <div class="file-panel">
      {list.problems.map((each) => (
        <Notice key={each} tone="warn">
          {each}
        </Notice>
      ))}
      <Volumes
        volumes={volumes}
        shown={shown}
        unlocked={list.unlocked}
        disk={disk}
        onChoose={({ id }) => go({ volume: id, path: START.path }, 'push')}
      />
      {why === null ? (
        <Browser key={shown.id} volume={shown} name={name} disk={disk} />
      ) : shown.locked && !isUnlocked ? (
        <LockedVolume
          key={shown.id}
          at={{ snapshot: disk.snapshot, volume: shown.id }}
          volume={shown}
          onUnlocked={([first]) => {
            reload()
            if (first !== undefined) go({ volume: first, path: START.path }, 'push')
          }}
        />
      ) : (
        <NoFiles volume={shown} why={isUnlocked ? UNLOCKED : why} />
      )}
    </div>
  )
}

/** The largest volume with files, which people most likely look for; else the largest. */
function firstOf(volumes: readonly VolumeInfo[]): VolumeInfo | undefined {
  const rank = (volume: VolumeInfo) => (volume.supported ? 2 : whyNoFiles(volume) === null ? 1 : 0)
  return [...volumes].sort((a, b) => rank(b) - rank(a) || b.length - a.length)[0]
}

function NoFiles({ volume, why }: { volume: VolumeInfo; why: string }) {
  const { offset } = volume
  return (
    <section class="card empty" aria-labelledby="no-files-title">
      <h2 id="no-files-title">
        {volumeName(volume)}: {volume.title}
      </h2>
      <p>{why}</p>
      {offset !== undefined && (
        <button
          type="button"
          class="button"
          onClick={() => go({ panel: 'hex', at: BigInt(offset), of: 'disk' }, 'push')}
        >
          Look at its bytes
        </button>
      )}
    </section>
  )
}
