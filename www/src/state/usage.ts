/** How full the volumes of the disk that is shown are, as far as that is known. */

import { effect, signal } from '@preact/signals'
import type { VolumeUsage } from 'qcow2-web/files'
import { disk } from './stage'

/** By the id of the volume. */
export const usages = signal<ReadonlyMap<string, VolumeUsage>>(new Map())

/** Records how full a volume of the shown disk is. */
export function noteUsage(snapshot: string | null, volume: string, usage: VolumeUsage): void {
  if (disk.peek()?.snapshot === snapshot) usages.value = new Map([...usages.peek(), [volume, usage]])
}

/** Forgets what is known when another disk is shown. */
export function followUsage(): void {
  effect(() => {
    void disk.value
    usages.value = new Map()
  })
}
