import { useEffect, useMemo, useState } from 'preact/hooks'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { Disk, Survey } from '../engine/protocol'
import { type Overview, overview } from '../state/survey'
import { cellCount, endOf, startOf, type View } from './geometry'
import { rebucket } from './rebucket'

interface Fine {
  key: string
  survey: Survey | null
  state: Overview['state']
  problem: string | null
}

export interface CellShares {
  shares: Float64Array | null
  /** Whether all of the view is known exactly, and how it stands otherwise. */
  status: Overview | null
}

/**
 * What is in each cell of the view. The survey of the whole disk serves where it is fine enough; for the rest the view
 * has one of its own, which the coarse one replaces until it is there.
 */
export function useSurvey(disk: Disk, view: View): CellShares {
  const whole = overview.value
  const coarse = whole?.survey ?? null
  const start = startOf(view)
  const end = endOf(view)
  const enough = coarse !== null && view.cell >= coarse.bucketSize
  const key = `${disk.snapshot} ${start} ${end} ${view.cell}`
  const [fine, setFine] = useState<Fine | null>(null)
  const [attempt, setAttempt] = useState(0)
  const [stop, setStop] = useState<() => void>(() => () => {})

  useEffect(() => {
    if (!coarse || enough || end <= start) return
    const left = new AbortController()
    const stopped = new AbortController()
    setStop(() => () => stopped.abort())
    let latest: Survey | null = null
    const show = (survey: Survey | null, state: Fine['state'], problem: string | null = null) => {
      latest = survey
      if (!left.signal.aborted) setFine({ key, survey, state, problem })
    }
    const request = { snapshot: disk.snapshot, start, end, bucketSize: view.cell }
    const signal = AbortSignal.any([left.signal, stopped.signal])
    engine
      .survey(request, (part) => show(part, 'working'), signal)
      .then(
        (survey) => show(survey, 'done'),
        (error) => show(latest, stopped.signal.aborted ? 'cancelled' : 'failed', messageOf(error)),
      )
    return () => left.abort()
  }, [key, enough, coarse !== null, attempt])

  const current = fine?.key === key ? fine : null
  const shares = useMemo(() => {
    const count = cellCount(view)
    if (enough || !current?.survey) return coarse && rebucket(coarse, start, view.cell, count)
    if (current.state === 'done') return current.survey.bytes
    return overlay(coarse && rebucket(coarse, start, view.cell, count), current.survey)
  }, [view, enough, coarse, current])

  if (enough || !whole) return { shares, status: whole }
  if (!current) return { shares, status: null }
  const restart = () => setAttempt(attempt + 1)
  const { survey, state, problem } = current
  return { shares, status: { survey, state, problem, cancel: stop, restart } }
}

/** The exact cells as far as they are known, and the estimate for the rest. */
function overlay(estimate: Float64Array | null, survey: Survey): Float64Array {
  if (!estimate) return survey.bytes
  const columns = survey.bytes.length / Math.max(1, Math.ceil((survey.end - survey.start) / survey.bucketSize))
  const known = Math.floor((survey.done - survey.start) / survey.bucketSize) * columns
  const result = estimate.slice()
  result.set(survey.bytes.subarray(0, known))
  return result
}
