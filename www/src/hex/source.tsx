import type { Disk, OpenFile } from '../engine/protocol'
import { go } from '../state/route'
import { formatSize } from '../values/size'

interface Props {
  files: OpenFile[]
  disk: Disk | null
  shown: OpenFile | undefined
}

const roleWords = (file: OpenFile): string => {
  if (file.role === 'image') return 'Image file'
  if (file.role === 'backing') return `Backing file ${file.depth}`
  return file.depth === 0 ? 'Data file' : `Data file of backing file ${file.depth}`
}

/** The switch between guest offsets (the decoded disk) and host offsets (the raw content of a file). */
export function SourceChoice({ files, disk, shown }: Props) {
  const choose = (of: string) => go({ of, at: 0n }, 'push')
  return (
    <div class="joined" role="group" aria-label="Whose bytes">
      {disk && (
        <button
          type="button"
          class="button"
          aria-pressed={!shown}
          title={`The disk as a machine sees it, ${formatSize(disk.size)}`}
          onClick={() => choose('disk')}
        >
          Disk
        </button>
      )}
      {files.map((file) => (
        <button
          key={file.key}
          type="button"
          class="button"
          aria-pressed={file === shown}
          title={`${file.name} as it is stored, ${formatSize(file.size)}`}
          onClick={() => choose(file.key)}
        >
          {roleWords(file)}
        </button>
      ))}
    </div>
  )
}
