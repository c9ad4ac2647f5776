import type { ComponentChildren } from 'preact'
import type { EncryptionInfo, ImageInfo } from 'qcow2-web'
import type { Disk, OpenedImage } from '../engine/protocol'
import { cipherOf } from '../values/cipher'
import { exactBytes, formatSize } from '../values/size'

const COMPRESSION: Record<string, string> = { zlib: 'zlib (deflate)', zstd: 'zstd' }

/** The features of an image. Those that it does not have share one line. */
export function Facts({ image, disk }: { image: OpenedImage; disk: Disk }) {
  const { info } = image
  const size = disk.snapshot === null ? info.virtualSize : disk.size
  return (
    <section class="card" aria-labelledby="facts-title">
      <h2 id="facts-title">{disk.snapshot === null ? 'Image' : 'Image, with the disk of the snapshot'}</h2>
      <dl class="facts">
        <SizeFact name="Virtual size" field="virtual-size" bytes={size} />
        <SizeFact name="File length" field="file-length" bytes={info.fileSize} />
        <SizeFact name="Cluster size" field="cluster-size" bytes={info.clusterSize} />
        <Fact name="Format" field="format" note={`version ${info.version}`}>
          qcow2, compat {info.compat}
        </Fact>
        <Fact name="Compression type" field="compression-type">
          {COMPRESSION[info.compressionType] ?? info.compressionType}
        </Fact>
        <Fact name="Refcount bits" field="refcount-bits">
          {info.refcountBits}
        </Fact>
        {info.lazyRefcounts && <Flag name="Lazy refcounts" field="lazy-refcounts" />}
        {info.extendedL2 && <Flag name="Extended L2" field="extended-l2" note="32 subclusters a cluster" />}
        {info.encryption && (
          <Fact name="Encryption" field="encryption" {...note(encryptionNote(info.encryption))}>
            {cipherOf(info.encryption)}
          </Fact>
        )}
        {info.dirty && <Flag name="Dirty" field="dirty" note="was not closed properly" />}
        {info.corrupt && <Flag name="Corrupt" field="corrupt" note="damage was met" />}
        {info.backingFile !== undefined && (
          <Fact name="Backing file" field="backing-file" {...note(backingNote(info))}>
            <code>{info.backingFile || '(empty name)'}</code>
          </Fact>
        )}
        {info.externalDataFile && (
          <Fact name="Data file" field="data-file" {...note(info.dataFileRaw ? 'raw' : undefined)}>
            <code>{info.dataFile || '(no name recorded)'}</code>
          </Fact>
        )}
        <Absent info={info} />
      </dl>
    </section>
  )
}

const note = (text: string | undefined): { note?: string } => (text ? { note: text } : {})

function encryptionNote(encryption: EncryptionInfo | undefined): string | undefined {
  if (encryption?.format !== 'luks') return undefined
  const active = encryption.keySlots.filter((slot) => slot.active).length
  return `${encryption.hash}, ${active} of ${encryption.keySlots.length} key slots`
}

function backingNote(info: ImageInfo): string | undefined {
  if (info.backingFile === undefined) return undefined
  return info.backingFormat ? `format ${info.backingFormat}` : 'no format recorded'
}

interface FactProps {
  name: string
  /** The name as in `qemu-img info --output=json`. */
  field: string
  note?: string
  children: ComponentChildren
}

function Fact({ name, field, note, children }: FactProps) {
  return (
    <div data-field={field}>
      <dt>{name}</dt>
      <dd>
        {children} {note && <span class="soft">{note}</span>}
      </dd>
    </div>
  )
}

function SizeFact({ name, field, bytes }: { name: string; field: string; bytes: number }) {
  return (
    <Fact name={name} field={field} {...(bytes >= 1024 && { note: exactBytes(bytes) })}>
      <data value={String(BigInt(bytes))} title={exactBytes(bytes)}>
        {formatSize(bytes)}
      </data>
    </Fact>
  )
}

function Flag({ name, field, note: meaning }: { name: string; field: string; note?: string }) {
  return (
    <Fact name={name} field={field} {...note(meaning)}>
      yes
    </Fact>
  )
}

/** What the image does not have, and is not. */
function Absent({ info }: { info: ImageInfo }) {
  const absent = [
    info.backingFile === undefined && 'backing file',
    !info.externalDataFile && 'data file',
    !info.encryption && 'encryption',
    !info.extendedL2 && 'extended L2',
    !info.lazyRefcounts && 'lazy refcounts',
    !info.dirty && 'unclean end',
    !info.corrupt && 'mark of damage',
  ].filter((each) => each !== false)
  if (absent.length === 0) return null
  return (
    <Fact name="Without" field="without">
      <span class="absent">{absent.join(', ')}</span>
    </Fact>
  )
}
