import { opened } from '../state/stage'
import { formatSize } from '../values/size'

interface Props {
  inFile: boolean
  disabled?: boolean
  onChoose(inFile: boolean): void
}

/** Where the changes of an image go that the browser keeps: into its file, or to memory. */
export function WhereChoice({ inFile, disabled = false, onChoose }: Props) {
  const size = opened.value?.info.fileSize
  const choice = (chosen: boolean, label: string, meaning: string) => (
    <label class="choice">
      <input type="radio" name="where" checked={inFile === chosen} onChange={() => onChoose(chosen)} />
      <span>
        <b>{label}</b>
        <br />
        {meaning}
      </span>
    </label>
  )
  return (
    <fieldset class="choices" disabled={disabled}>
      <legend class="visually-hidden">Where the changes go</legend>
      {choice(
        true,
        'In the stored file',
        'It is changed as you change the image. Nothing is copied, however large it is; there is no way back to how it was.',
      )}
      {choice(
        false,
        'In memory',
        `The stored file stays as it is until you save: then all of it is written anew${size ? `, ${formatSize(size)}` : ''}.`,
      )}
    </fieldset>
  )
}
