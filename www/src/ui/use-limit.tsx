import type { ComponentChild } from 'preact'
import { useState } from 'preact/hooks'
import { formatCount } from '../values/size'

const STEP = 200

/** The first of many things, and a button for more: an image may list tens of thousands. */
export function useLimit<T>(items: readonly T[]): [shown: readonly T[], more: ComponentChild] {
  const [limit, setLimit] = useState(STEP)
  if (items.length <= limit) return [items, null]
  const more = (
    <p class="more">
      <span class="soft">
        {formatCount(limit)} of {formatCount(items.length)}
      </span>
      <button type="button" class="button small" onClick={() => setLimit(limit + STEP)}>
        Show more
      </button>
    </p>
  )
  return [items.slice(0, limit), more]
}
