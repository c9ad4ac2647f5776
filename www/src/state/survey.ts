/** The survey of the whole disk: made once for each disk, shown in the strip, the legend and under the map. */

import { effect, signal } from '@preact/signals'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { Survey } from '../engine/protocol'
import { cellFor } from '../map/cell'
import { mayHaveFiles, type PartitionTable } from '../partitions'
import { go, route } from './route'
import { disk, opened, shown } from './stage'

const OVERVIEW_BUCKETS = 4096
/** A raw disk has no clusters. */
const RAW_CELL = 65_536

export interface Overview {
  survey: Survey | null
  state: 'working' | 'done' | 'cancelled' | 'failed'
  problem: string | null
  cancel(): void
  restart(): void
}

export const overview = signal<Overview | null>(null)
export const partitionTable = signal<PartitionTable | null>(null)

/** Surveys each disk that is shown, one at a time; the survey of a disk that is left is cancelled. */
export function followDisk(): void {
  effect(() => {
    const looked = disk.value
    const clusterSize = opened.value?.info.clusterSize ?? RAW_CELL
    overview.value = null
    partitionTable.value = null
    if (!looked || !shown.value) return
    const controller = new AbortController()
    void readTable(looked.snapshot, controller.signal)
    surveyWhole(looked.snapshot, looked.size, clusterSize, controller)
    return () => controller.abort()
  })
}

async function readTable(snapshot: string | null, signal: AbortSignal): Promise<void> {
  try {
    partitionTable.value = await engine.partitions(snapshot, signal)
    choosePanel(mayHaveFiles(partitionTable.value))
  } catch (error) {
    if (signal.aborted) return
    const problems = [`The partition table could not be read: ${messageOf(error)}`]
    partitionTable.value = { scheme: 'none', sectorSize: 512, partitions: [], problems }
    choosePanel(false)
  }
}

/** Shows first what people come for: the files, if there are any. */
function choosePanel(hasFiles: boolean): void {
  if (route.peek().panel === null) go({ panel: hasFiles ? 'files' : 'overview' })
}

function surveyWhole(snapshot: string | null, size: number, clusterSize: number, outer: AbortController): void {
  const controller = new AbortController()
  const stop = () => controller.abort()
  outer.signal.addEventListener('abort', stop)
  const restart = () => surveyWhole(snapshot, size, clusterSize, outer)
  const update = (survey: Survey | null, state: Overview['state'], problem: string | null = null) => {
    if (!outer.signal.aborted) overview.value = { survey, state, problem, cancel: stop, restart }
  }

  let latest: Survey | null = null
  const request = { snapshot, start: 0, end: size, bucketSize: cellFor(size, clusterSize, OVERVIEW_BUCKETS) }
  const keep = (part: Survey) => {
    latest = part
    update(part, 'working')
  }
  update(null, 'working')
  engine.survey(request, keep, controller.signal).then(
    (survey) => update(survey, 'done'),
    (error) => update(latest, controller.signal.aborted ? 'cancelled' : 'failed', messageOf(error)),
  )
}
