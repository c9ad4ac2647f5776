import { entryText, subclusters } from './entry'

const WORDS = { data: 'data', zero: 'zero', unallocated: 'unallocated', invalid: 'both bits set, which is not allowed' }

/** The 32 subclusters of a cluster, each with its own state. */
export function Subclusters({ bitmap }: { bitmap: bigint }) {
  const parts = subclusters(bitmap)
  const count = (state: string) => parts.filter((part) => part === state).length
  const summary = (['data', 'zero', 'unallocated', 'invalid'] as const)
    .filter((state) => count(state) > 0)
    .map((state) => `${count(state)} ${WORDS[state]}`)
    .join(', ')
  return (
    <>
      <code class="value">{entryText(bitmap)}</code>
      <p>Subclusters: {summary}</p>
      <div class="subclusters" aria-hidden="true">
        {parts.map((part, index) => (
          <span
            key={index}
            class={`swatch ${part === 'invalid' ? 'compressed' : part}`}
            title={`${index}: ${WORDS[part]}`}
          />
        ))}
      </div>
    </>
  )
}
