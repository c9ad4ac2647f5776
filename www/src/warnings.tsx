import { fileChanged } from './engine/client'
import type { OpenedImage } from './engine/protocol'
import { enterStored } from './state/enter'
import { Notice } from './ui/notice'
import { formatSize } from './values/size'

/** What a person should know before trusting what the panels show. */
export function Warnings({ image }: { image: OpenedImage }) {
  const { info } = image
  return (
    <>
      {fileChanged.value && image.stored !== null && <ChangedElsewhere path={image.stored} />}
      {info.corrupt && (
        <Notice tone="bad">
          <strong>Marked as corrupt.</strong> A corruption was found in this image, and nothing is written to it until
          it is repaired. What can be read is shown. The Check panel finds out more, and repairs.
        </Notice>
      )}
      {info.missing > 0 && (
        <Notice tone="bad">
          <strong>The file is cut off.</strong> {formatSize(info.missing)} of it are missing: its tables lead past its
          end. What is missing reads as zeros here. Most often a copy or a download has stopped too early: get the file
          again, if you can.
        </Notice>
      )}
      {info.dirty && (
        <Notice tone="warn">
          <strong>Not closed properly.</strong> The image is in use, or its machine stopped without notice. Its data can
          be read; its refcounts may be out of date. That is repaired when it is edited, or in the Check panel.
        </Notice>
      )}
      {image.without.map((name) => (
        <Notice key={name} tone="warn">
          <strong>Opened without {name || 'a file that it needs'}.</strong> What that file holds reads as zeros here.
          Open the image again to choose it.
        </Notice>
      ))}
    </>
  )
}

/** Another tab has changed the file of an image that is only looked at here. */
function ChangedElsewhere({ path }: { path: string }) {
  const again = (
    <button type="button" class="button small" onClick={() => void enterStored(path)}>
      Open it again
    </button>
  )
  return (
    <Notice tone="warn" action={again}>
      <strong>Changed in another tab.</strong> What is shown here is as it was before, and not all of it can be read.
    </Notice>
  )
}
