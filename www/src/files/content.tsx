import { useEffect, useState } from 'preact/hooks'
import type { FileEntry } from 'qcow2-web/files'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { VolumeAt } from '../engine/protocol'
import { useSize } from '../ui/use-size'
import { formatSize } from '../values/size'
import { decoded, ENCODINGS, encodingOf } from './encoding'
import { hexDump } from './hex-dump'
import { imageType } from './image-type'
import { isPdf, Pdf } from './pdf'
import { Picture } from './picture'

/** How much of a file is read to show it. */
const READ = 256 * 1024
/** How many bytes of that are shown in hexadecimal, 16 per line. */
const DUMPED = 16 * 1024
/** How long a file stays selected before it is read, in milliseconds: the selection may only pass over it. */
const WAIT = 120

const VIEWS = { pdf: 'Document', text: 'Text', image: 'Image', hex: 'Bytes' } as const
type View = keyof typeof VIEWS

interface Loaded {
  bytes: Uint8Array
  /** The size of the file, also where a link leads to it. */
  size: number
  image: string | null
  isPdf: boolean
  /** `null` where it is no text. */
  encoding: string | null
}

/** The beginning of a file, as what it seems to be: text, an image, or bytes. */
export function Content({ at, entry }: { at: VolumeAt; entry: FileEntry }) {
  const [loaded, setLoaded] = useState<Loaded | 'directory' | null>(null)
  const [problem, setProblem] = useState<string | null>(null)
  const [chosen, choose] = useState<View | null>(null)
  const [encoding, setEncoding] = useState<string | null>(null)
  useEffect(() => {
    const controller = new AbortController()
    const timer = setTimeout(() => {
      load(at, entry, controller.signal).then(setLoaded, (error) => {
        if (!controller.signal.aborted) setProblem(messageOf(error))
      })
    }, WAIT)
    return () => {
      clearTimeout(timer)
      controller.abort()
    }
  }, [])

  if (problem) return <p class="bad-text">It could not be read: {problem}</p>
  if (!loaded) return <p class="soft">Reading…</p>
  if (loaded === 'directory') return <p class="soft">It leads to a folder.</p>
  if (loaded.size === 0) return <p class="soft">The file is empty.</p>

  const special: View[] = loaded.isPdf ? ['pdf'] : loaded.image ? ['image'] : []
  const views: View[] = [...special, 'text', 'hex']
  const view = chosen ?? special[0] ?? (loaded.encoding ? 'text' : 'hex')
  const shownEncoding = encoding ?? loaded.encoding ?? 'windows-1252'
  return (
    <div class="content">
      <div class="toolbar">
        <div class="joined" role="group" aria-label="Shown as">
          {views.map((each) => (
            <button
              key={each}
              type="button"
              class="button small"
              aria-pressed={each === view}
              onClick={() => choose(each)}
            >
              {VIEWS[each]}
            </button>
          ))}
        </div>
        {view === 'text' && (
          <select
            class="field small"
            aria-label="Encoding"
            value={shownEncoding}
            onChange={(event) => setEncoding(event.currentTarget.value)}
          >
            {[...new Set([shownEncoding, ...ENCODINGS])].map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        )}
      </div>
      {view === 'image' && loaded.image && <Picture at={at} entry={entry} type={loaded.image} size={loaded.size} />}
      {view === 'pdf' && <Pdf at={at} entry={entry} />}
      {view === 'text' && <Text name={entry.name} text={decoded(loaded.bytes, shownEncoding)} />}
      {view === 'hex' && <Dump name={entry.name} bytes={loaded.bytes.subarray(0, DUMPED)} />}
      <Part view={view} size={loaded.size} />
    </div>
  )
}

async function load(at: VolumeAt, { kind, path, size }: FileEntry, signal: AbortSignal): Promise<Loaded | 'directory'> {
  const stat = kind === 'link' ? await engine.statFile(at, path, signal) : { kind, size }
  if (stat.kind === 'directory') return 'directory'
  const bytes = await engine.readFile(at, path, 0, READ, signal)
  const encoding = await encodingOf(bytes, bytes.length === stat.size)
  return { bytes, size: stat.size, image: imageType(bytes), isPdf: isPdf(bytes), encoding }
}

function Text({ name, text }: { name: string; text: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: It scrolls.
    <pre class="text" role="region" aria-label={`Content of ${name}`} tabIndex={0}>
      {text}
    </pre>
  )
}

function Dump({ name, bytes }: { name: string; bytes: Uint8Array }) {
  const [box, { width }] = useSize<HTMLDivElement>()
  return (
    <div class="dump" ref={box}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: It scrolls. */}
      <pre class="text" role="region" aria-label={`Bytes of ${name}`} tabIndex={0}>
        {hexDump(bytes, width > 620 ? 16 : 8)}
      </pre>
    </div>
  )
}

/** Shows how much of the file is shown, if that is not all of it. */
function Part({ view, size }: { view: View; size: number }) {
  const limit = view === 'hex' ? DUMPED : view === 'text' ? READ : Number.POSITIVE_INFINITY
  if (size <= limit) return null
  return (
    <p class="soft">
      The first {formatSize(limit)} of {formatSize(size)}. Extract the file to see all of it.
    </p>
  )
}
