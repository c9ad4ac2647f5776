import type { Opening } from '../state/stage'

/** Shows that an image is being opened, and lets that be cancelled. */
export function OpeningNow({ opening }: { opening: Opening }) {
  return (
    <div class="opening" role="status">
      <span class="spinner" />
      <span>Opening {opening.name}…</span>
      <button type="button" class="button" onClick={opening.cancel}>
        Cancel
      </button>
    </div>
  )
}
