import type { Opening } from '../state/stage'

/** Says that an image is being opened, and lets it be given up. */
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
