import type { ComponentChildren } from 'preact'
import type { EncryptionInfo, ImageInfo } from 'qcow2-web'
import type { Disk, OpenedImage } from '../engine/protocol'
import { cipherOf } from '../values/cipher'
import { exactBytes, formatSize } from '../values/size'

const COMPRESSION: Record<string, string> = { zlib: 'zlib (deflate)', zstd: 'zstd' }

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
        <Flag name="Lazy refcounts" field="lazy-refcounts" on={info.lazyRefcounts} />
        <Flag name="Extended L2" field="extended-l2" on={info.extendedL2} note="32 subclusters a cluster" />
        <Fact name="Encryption" field="encryption" {...note(encryptionNote(info.encryption))}>
          {info.encryption ? cipherOf(info.encryption) : 'none'}
        </Fact>
        <Flag name="Dirty" field="dirty" on={info.dirty} note="was not closed properly" />
        <Flag name="Corrupt" field="corrupt" on={info.corrupt} note="damage was met" />
        <Fact name="Backing file" field="backing-file" {...note(backingNote(info))}>
          {info.backingFile === undefined ? 'none' : <code>{info.backingFile || '(empty name)'}</code>}
        </Fact>
        <Fact name="Data file" field="data-file" {...note(info.dataFileRaw ? 'raw' : undefined)}>
          {!info.externalDataFile ? 'none' : <code>{info.dataFile || '(no name recorded)'}</code>}
        </Fact>
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

function Flag({ name, field, on, note: meaning }: { name: string; field: string; on: boolean; note?: string }) {
  return (
    <Fact name={name} field={field} {...note(on ? meaning : undefined)}>
      {on ? 'yes' : 'no'}
    </Fact>
  )
}
