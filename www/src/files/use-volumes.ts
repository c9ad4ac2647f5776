import { useEffect, useState } from 'preact/hooks'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { Disk, VolumeList } from '../engine/protocol'
import { noteUsage } from '../state/usage'

interface Volumes {
  /** `null` until the disk has been looked at. */
  list: VolumeList | null
  problem: string | null
  /** Lists the volumes anew, after one was unlocked. */
  reload(): void
}

/** The volumes of a disk. What was found stays until it is found anew, after the disk was written. */
export function useVolumes(disk: Disk): Volumes {
  const [found, setFound] = useState<Pick<Volumes, 'list' | 'problem'>>({ list: null, problem: null })
  const [reloads, setReloads] = useState(0)
  useEffect(() => {
    const controller = new AbortController()
    engine.volumes(disk.snapshot, controller.signal).then(
      (list) => {
        setFound({ list, problem: null })
        for (const { id, used, free } of list.volumes) {
          if (used !== undefined && free !== undefined) noteUsage(disk.snapshot, id, { used, free })
        }
      },
      (error) => controller.signal.aborted || setFound({ list: null, problem: messageOf(error) }),
    )
    return () => controller.abort()
  }, [disk, reloads])
  return { ...found, reload: () => setReloads((count) => count + 1) }
}
