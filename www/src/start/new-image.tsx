import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { messageOf } from '../engine/message'
import { enterNew } from '../state/enter'
import { Dialog } from '../ui/dialog'
import { FileButton } from '../ui/file-button'
import { FormActions } from '../ui/form-actions'
import { ProblemText } from '../ui/problem-text'
import { TextField } from '../ui/text-field'
import { parseOffset } from '../values/offset'
import { formatSize } from '../values/size'

const CLUSTER_SIZES = [512, 4096, 65536, 262144, 2097152]
const REFCOUNT_BITS = [1, 2, 4, 8, 16, 32, 64]
/** The smallest cluster that can be divided into 32 subclusters. */
const SMALLEST_DIVIDED = 16384

interface Wishes {
  name: string
  size: string
  base: File | null
  version: 2 | 3
  clusterSize: number
  refcountBits: number
  compression: 'zlib' | 'zstd'
  extendedL2: boolean
  encrypted: boolean
  passphrase: string
  again: string
}

const FIRST: Wishes = {
  name: 'disk.qcow2',
  size: '20 GiB',
  base: null,
  version: 3,
  clusterSize: 65536,
  refcountBits: 16,
  compression: 'zlib',
  extendedL2: false,
  encrypted: false,
  passphrase: '',
  again: '',
}

/** Asks what a new image is to be like, and makes it. */
export function NewImageDialog({ onClose }: { onClose(): void }) {
  const [wishes, setWishes] = useState(FIRST)
  const [problem, setProblem] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const change = (part: Partial<Wishes>) => setWishes({ ...wishes, ...part })

  const onSubmit = async (event: Event) => {
    event.preventDefault()
    const size = parseOffset(wishes.size, 0n)
    if (size === null || size < 0n) return setProblem('Write the size of the disk as 20 GiB, 512M or 1474560.')
    if (wishes.encrypted && wishes.passphrase === '') return setProblem('Write a passphrase.')
    if (wishes.encrypted && wishes.passphrase !== wishes.again) {
      return setProblem('The passphrase is not the same the second time.')
    }
    setBusy(true)
    setProblem(null)
    try {
      await enterNew({ name: wishes.name || FIRST.name, base: wishes.base, options: optionsOf(wishes, size) })
    } catch (error) {
      setProblem(messageOf(error))
      setBusy(false)
    }
  }

  return (
    <Dialog title="New image" onClose={onClose}>
      <form class="new-image" onSubmit={(event) => void onSubmit(event)}>
        <TextField id="new-name" label="Name" value={wishes.name} onChange={(name) => change({ name })} />
        <TextField
          id="new-size"
          label="Size of the disk"
          value={wishes.size}
          autofocus
          onChange={(size) => change({ size })}
        />
        <span>Begins as</span>
        <div class="toolbar">
          <span class="soft">{wishes.base ? wishes.base.name : 'an empty disk'}</span>
          <FileButton class="small" label="The image that the new one begins as" onFile={(base) => change({ base })}>
            {wishes.base ? 'Another…' : 'An image…'}
          </FileButton>
          {wishes.base && (
            <button type="button" class="button small quiet" onClick={() => change({ base: null })}>
              Empty
            </button>
          )}
        </div>
        <Encryption wishes={wishes} change={change} />
        <details>
          <summary>Format</summary>
          <div class="new-image">
            <Format wishes={wishes} change={change} />
          </div>
        </details>
        <ProblemText>{problem}</ProblemText>
        <FormActions label="Create" disabled={busy} onCancel={onClose} />
      </form>
    </Dialog>
  )
}

/** Whether the disk is encrypted, and by what. */
function Encryption({ wishes, change }: { wishes: Wishes; change(part: Partial<Wishes>): void }) {
  return (
    <>
      <label for="new-encrypted">Encrypted</label>
      <span>
        <input
          id="new-encrypted"
          type="checkbox"
          checked={wishes.encrypted}
          onChange={(event) => change({ encrypted: event.currentTarget.checked })}
        />{' '}
        <span class="soft">by LUKS, AES-256; only the passphrase opens it</span>
      </span>
      {wishes.encrypted && (
        <>
          <TextField
            id="new-passphrase"
            label="Passphrase"
            secret
            value={wishes.passphrase}
            onChange={(passphrase) => change({ passphrase })}
          />
          <TextField
            id="new-again"
            label="Once more"
            secret
            value={wishes.again}
            onChange={(again) => change({ again })}
          />
        </>
      )}
    </>
  )
}

/** What of the format can be chosen. Version 2 knows one width of counts, one compression and no subclusters. */
function Format({ wishes, change }: { wishes: Wishes; change(part: Partial<Wishes>): void }) {
  const old = wishes.version === 2
  const { clusterSize } = wishes
  return (
    <>
      <Choice
        id="new-version"
        label="Version"
        value={wishes.version}
        onChange={(value) => change({ version: value === '2' ? 2 : 3 })}
      >
        <option value="3">3 (compat 1.1)</option>
        <option value="2">2 (compat 0.10, for QEMU before 1.1)</option>
      </Choice>
      <Choice
        id="new-cluster"
        label="Clusters of"
        value={clusterSize}
        onChange={(value) => change({ clusterSize: Number(value) })}
      >
        {CLUSTER_SIZES.map((size) => (
          <option key={size} value={size}>
            {formatSize(size)}
          </option>
        ))}
      </Choice>
      <Choice
        id="new-refcount"
        label="Refcounts of"
        value={old ? 16 : wishes.refcountBits}
        disabled={old}
        onChange={(value) => change({ refcountBits: Number(value) })}
      >
        {REFCOUNT_BITS.map((bits) => (
          <option key={bits} value={bits}>
            {bits} {bits === 1 ? 'bit' : 'bits'}
          </option>
        ))}
      </Choice>
      <Choice
        id="new-compression"
        label="Compression"
        value={old ? 'zlib' : wishes.compression}
        disabled={old}
        onChange={(value) => change({ compression: value === 'zstd' ? 'zstd' : 'zlib' })}
      >
        <option value="zlib">zlib</option>
        <option value="zstd">zstd</option>
      </Choice>
      <label for="new-extended">Subclusters</label>
      <span>
        <input
          id="new-extended"
          type="checkbox"
          checked={!old && clusterSize >= SMALLEST_DIVIDED && wishes.extendedL2}
          disabled={old || clusterSize < SMALLEST_DIVIDED}
          onChange={(event) => change({ extendedL2: event.currentTarget.checked })}
        />{' '}
        <span class="soft">
          {clusterSize < SMALLEST_DIVIDED
            ? 'in clusters of 16 KiB or more'
            : `32 a cluster, of ${formatSize(clusterSize / 32)}`}
        </span>
      </span>
    </>
  )
}

function optionsOf(wishes: Wishes, size: bigint) {
  const { version, clusterSize, refcountBits, compression, extendedL2, encrypted, passphrase } = wishes
  const encryption = encrypted ? { passphrase } : undefined
  if (version === 2) return { size, version, clusterSize, encryption }
  return {
    size,
    version,
    clusterSize,
    encryption,
    refcountBits,
    compression,
    extendedL2: extendedL2 && clusterSize >= SMALLEST_DIVIDED,
  }
}

interface ChoiceProps {
  id: string
  label: string
  value: number | string
  disabled?: boolean
  children: ComponentChildren
  onChange(value: string): void
}

function Choice({ id, label, value, disabled = false, children, onChange }: ChoiceProps) {
  return (
    <>
      <label for={id}>{label}</label>
      <select
        id={id}
        class="field"
        value={value}
        disabled={disabled}
        onChange={(event) => onChange(event.currentTarget.value)}
      >
        {children}
      </select>
    </>
  )
}
