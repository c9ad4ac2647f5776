import { KINDS } from '../engine/protocol'
import { overview } from '../state/survey'
import { KIND_MEANINGS, KIND_NAMES } from '../ui/kinds'

/** What the colours mean; kinds that the disk has none of are left out, except the most common ones. */
export function Legend() {
  const survey = overview.value?.survey
  const found = KINDS.map(
    (_, kind) => survey?.bytes.some((bytes, slot) => bytes > 0 && slot % KINDS.length === kind) ?? false,
  )
  const shown = KINDS.filter((kind, index) => found[index] || kind === 'data' || kind === 'unallocated')
  return (
    <ul class="legend" aria-label="Colours">
      {shown.map((kind) => (
        <li key={kind} title={KIND_MEANINGS[kind]}>
          <span class={`swatch ${kind}`} /> {KIND_NAMES[kind]}
        </li>
      ))}
    </ul>
  )
}
