import { chooseFound, type FoundFile } from '../state/folder'
import { Dialog } from '../ui/dialog'
import { Size } from '../ui/size'
import { useLimit } from '../ui/use-limit'
import { formatCount } from '../values/size'

/** Asks which image of a dropped folder is to be opened. */
export function FoundDialog({ folder, files }: { folder: string; files: FoundFile[] }) {
  const [shown, more] = useLimit(files)
  const cancel = () => void chooseFound(null)
  return (
    <Dialog title={`${formatCount(files.length)} images in ${folder}`} onClose={cancel}>
      <p>Choose the one to open. If it needs others of them, they are found here.</p>
      <ul class="found">
        {shown.map((each) => (
          <li key={each.path}>
            <button type="button" class="link" onClick={() => void chooseFound(each)}>
              {each.path}
            </button>
            <Size bytes={each.file.size} />
          </li>
        ))}
      </ul>
      {more}
      <div class="actions">
        <button type="button" class="button quiet" onClick={cancel}>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}
