import type { Overview } from '../state/survey'

/** How far the survey of the disk has come; it can be stopped and continued. */
export function SurveyProgress({ state }: { state: Overview }) {
  const { survey } = state
  const share = survey ? (survey.done - survey.start) / Math.max(1, survey.end - survey.start) : 0
  if (state.state === 'working') {
    return (
      <div class="progress" role="status">
        <progress value={share} aria-label="Reading the tables" />
        <span>Reading the tables, {Math.floor(share * 100)} %</span>
        <button type="button" class="button small" onClick={state.cancel}>
          Stop
        </button>
      </div>
    )
  }
  const words =
    state.state === 'failed' ? `The tables can't be read further: ${state.problem}` : 'Stopped before the end.'
  return (
    <div class="progress" role="status">
      <span>{words}</span>
      <button type="button" class="button small" onClick={state.restart}>
        Read again
      </button>
    </div>
  )
}
