/** Unlocking encrypted volumes of the disk. */

import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import type { VolumeAt } from '../engine/protocol'
import { forgetWork, type Work, work } from './work'

/** The unlocking that is under way, or why it failed. */
export const unlockingVolume = signal<Work | null>(null)

/** Unlocks a volume. Returns the ids of the volumes in it; `null` if it stays locked. */
export async function unlockVolume(at: VolumeAt, passphrase: string): Promise<string[] | null> {
  let found: string[] | null = null
  await work(unlockingVolume, 'Unlocking', async (signal) => {
    found = await engine.unlockVolume(at, passphrase, signal)
  })
  return found
}

/** Another volume or image is shown. What is under way is cancelled. */
export const forgetVolumeUnlocking = (): void => forgetWork(unlockingVolume)
