import type { OpenedImage, OpenFile } from '../engine/protocol'
import { Size } from '../ui/size'
import { CopyUp } from './copy-up'

/** The files that the disk is made of, from the image down its backing chain. */
export function Files({ image }: { image: OpenedImage }) {
  const { files, info } = image
  return (
    <section class="card" aria-labelledby="files-title">
      <h2 id="files-title">{files.length === 1 ? 'File' : 'Files'}</h2>
      <ol class="files">
        {files.map((file) => (
          <li key={file.key} style={{ marginInlineStart: `${file.depth * 18}px` }}>
            <div>
              <b>{file.name}</b>
              <br />
              <span class="soft">{describe(file, info.chain[file.depth]?.format)}</span>
            </div>
            <Size bytes={file.size} />
          </li>
        ))}
      </ol>
      <CopyUp image={image} />
    </section>
  )
}

function describe(file: OpenFile, format: string | undefined): string {
  if (file.role === 'data') return file.depth === 0 ? 'its data file' : `data file of backing file ${file.depth}`
  const kind = format ?? 'qcow2'
  return file.role === 'image' ? `the image, ${kind}` : `backing file ${file.depth}, ${kind}`
}
