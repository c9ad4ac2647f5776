import type { OpenedImage } from '../engine/protocol'
import { busy } from '../state/busy'
import { copiesInPlace, copying, copyUp, notCopyable } from '../state/copy-up'
import { isRunning } from '../state/work'
import { Icon } from '../ui/icon'
import { WorkShown } from '../ui/work'

/** Makes an image that has a backing file independent of it. */
export function CopyUp({ image }: { image: OpenedImage }) {
  const needed = image.info.backingFile !== undefined
  const why = notCopyable.value
  return (
    <>
      {needed && !isRunning(copying.value) && (
        <div class="copy-up">
          <p class="soft">
            {why ??
              `What the base still supplies can be copied into the image, which then needs no other file. You can look at it meanwhile. ${
                copiesInPlace.value ? 'It is saved as it is copied.' : 'The copy is in memory until you save it.'
              }`}
          </p>
          <button
            type="button"
            class="button small"
            disabled={why !== null || busy.value}
            onClick={() => void copyUp()}
          >
            <Icon name="download" /> Copy the base
          </button>
        </div>
      )}
      <WorkShown work={copying.value} />
    </>
  )
}
