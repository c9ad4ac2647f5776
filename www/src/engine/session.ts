/** One opened image with everything that is open of it: its files, its active disk, the disks of its snapshots. */

import {
  blob,
  type CheckReport,
  check,
  convert,
  type DiffExtent,
  type Draft,
  draft,
  type Extent,
  type ImageInfo,
  inspect,
  isQcow2Error,
  opfs,
  Qcow2,
  type RepairReport,
  repair,
  type WritableStorage,
} from 'qcow2-web'
import { type PartitionTable, readPartitions } from '../partitions'
import { Buckets } from './buckets'
import type {
  Ask,
  ByteSource,
  Conversion,
  Disk,
  Explained,
  Failure,
  KeySlotChange,
  NewImage,
  OpenedImage,
  OpenOutcome,
  Progress,
  SnapshotChange,
  Survey,
  SurveyRequest,
} from './protocol'
import { readFrom, type Source, type SourceFile, sizeOf, sourceFile } from './source'
import { Supplies } from './supplies'

/** Milliseconds between two parts of a survey that go to the page. */
const TELL_EVERY = 80

let generation = 0

/** A file with what was changed of it. */
type Changes = WritableStorage & Draft

export class Session {
  private readonly snapshots = new Map<string, Promise<Qcow2>>()

  private constructor(
    private readonly supplies: Supplies,
    private readonly active: Qcow2 | null,
    /** What differs from the file by now; `null` where nothing can be changed. */
    private readonly changes: Changes | null,
    /** Where the file is in the browser's storage, if the image is changed there, in place. */
    private readonly stored: string | null = null,
  ) {}

  static async open(source: Source, ask: Ask, signal: AbortSignal): Promise<[OpenOutcome, Session | null]> {
    const file = sourceFile(source)
    const supplies = new Supplies(file, ask)
    try {
      const session = new Session(supplies, await openWithFiles(supplies, null, signal), null)
      return [{ kind: 'opened', image: await session.describe() }, session]
    } catch (error) {
      if (supplies.cancelled || signal.aborted) return [{ kind: 'cancelled' }, null]
      const inspection = await inspect(file.storage).catch(() => null)
      const refused: OpenOutcome = {
        kind: 'refused',
        name: file.name,
        size: await sizeOf(file).catch(() => 0),
        url: source instanceof File ? null : source.url,
        failure: failureOf(error),
        inspection,
      }
      return [refused, new Session(supplies, null, null)]
    }
  }

  /** Makes an image in memory, over `base` if there is one, and opens it for editing. */
  static async create({ name, options, base }: NewImage, ask: Ask, signal: AbortSignal): Promise<Session> {
    const changes = draft(blob(new Blob([])))
    const backing = base && { name: base.name, format: await backingFormat(base) }
    const image = await Qcow2.create(changes, { ...options, ...(backing && { backing }), signal })
    await image.close()
    const supplies = new Supplies(sourceFile(new File([await changes.blob()], name)), ask)
    if (base) supplies.give(1, base)
    if (options.encryption) supplies.givePassphrase(0, options.encryption.passphrase)
    return Session.edit(supplies, signal)
  }

  /** The same image, so that its disk can be changed. */
  edit(signal: AbortSignal): Promise<Session> {
    return Session.edit(this.supplies, signal)
  }

  private static async edit(supplies: Supplies, signal: AbortSignal): Promise<Session> {
    const changes = draft(supplies.image.storage)
    return new Session(supplies, await openWithFiles(supplies, changes, signal), changes)
  }

  /** The same image, kept in the browser at `path`, so that it is changed there. It can't be saved meanwhile. */
  async editInPlace(path: string, signal: AbortSignal): Promise<Session> {
    const { image } = this.supplies
    const storage = opfs(path)
    this.supplies.image = { ...image, storage }
    try {
      return new Session(this.supplies, await openWithFiles(this.supplies, storage, signal), null, path)
    } catch (error) {
      this.supplies.image = image
      throw error
    }
  }

  /** The same image over its file as it is now, after it was changed in place. This one is closed. */
  async leavePlace(signal: AbortSignal): Promise<Session> {
    await this.close()
    return new Session(this.supplies, await openWithFiles(this.supplies, null, signal), null)
  }

  /** Copies what the backing files show into the image, which needs them no longer. */
  async copyUp(signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<void> {
    await (await this.image(null)).copyUp({ signal, onProgress: seldom(onProgress) })
    this.supplies.forgetBackings()
  }

  async write(offset: bigint, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await (await this.image(null)).write(offset, bytes, { signal })
  }

  async changeSnapshots(
    change: SnapshotChange,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<void> {
    const { snapshots } = await this.image(null)
    const options = { signal, onProgress: seldom(onProgress) }
    if (change.kind === 'create') {
      await snapshots.create(change.name, options)
    } else if (change.kind === 'rename') {
      await snapshots.rename(change.id, change.name, { signal })
    } else if (change.kind === 'apply') {
      await snapshots.apply(change.id, options)
    } else {
      // It may have been looked at.
      await this.closeSnapshot(change.id)
      await snapshots.delete(change.id, options)
    }
  }

  async changeKeySlots(
    change: KeySlotChange,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<void> {
    const { keySlots } = await this.image(null)
    if (change.kind === 'erase') return keySlots.erase(change.slot, { signal })
    const { kind, known, passphrase } = change
    await keySlots[kind](known, passphrase, { signal, onProgress: seldom(onProgress) })
    // The one by which the image was opened may be gone.
    if (kind === 'change') this.supplies.givePassphrase(0, passphrase)
  }

  /** What may differ between a snapshot and the disk as it is now. */
  async diff(snapshot: string, signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<DiffExtent[]> {
    const image = await this.image(null)
    const extents: DiffExtent[] = []
    const options = { signal, onProgress: seldom(onProgress) }
    for await (const extent of image.diff(snapshot, null, options)) extents.push(extent)
    return extents
  }

  /** Checks the image as it is now. */
  async check(signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<CheckReport> {
    const options = { signal, onProgress: seldom(onProgress) }
    return this.active ? this.active.check(options) : check(this.changes ?? this.supplies.image.storage, options)
  }

  /** Repairs the image; a session over what it is then, for editing if it opens. This one is closed. */
  async repair(
    what: 'leaks' | 'all',
    acceptLoss: boolean,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<[RepairReport, Session]> {
    await this.close()
    const changes = this.changes ?? draft(this.supplies.image.storage)
    const report = await repair(changes, what, { acceptLoss, signal, onProgress: seldom(onProgress) })
    const image = await openWithFiles(this.supplies, changes, signal).catch(() => null)
    return [report, new Session(this.supplies, image, changes)]
  }

  /** Makes a file in the browser's storage that shows a disk. There is none if that fails. */
  async convert(
    snapshot: string | null,
    path: string,
    how: Conversion,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<void> {
    const image = await this.image(snapshot)
    try {
      await convert(image, opfs(path, { create: true }), { ...how, signal, onProgress: seldom(onProgress) })
    } catch (error) {
      await opfs.remove(path).catch(() => {})
      throw error
    }
  }

  /** True if the image could be opened as a disk. */
  get isOpen(): boolean {
    return this.active !== null
  }

  private async closeSnapshot(id: string): Promise<void> {
    const open = this.snapshots.get(id)
    this.snapshots.delete(id)
    await open?.then((image) => image.close())
  }

  /** The image with its changes, as a file, and a session over it. This one is closed then. */
  async save(signal: AbortSignal): Promise<[File, Session]> {
    const active = await this.image(null)
    if (!this.changes) throw new Error('This image is open for reading only.')
    // What fails here leaves all as it is.
    await active.flush({ signal })
    await this.close()
    const { name } = this.supplies.image
    const whole = await contents(this.supplies.image, this.changes, signal)
    const file = new File([whole], name, { type: 'application/x-qemu-disk' })
    return [file, await this.continueOver(file, signal)]
  }

  /** A session over `file`, which holds the image by now. This one is to be closed. */
  continueOver(file: File, signal: AbortSignal): Promise<Session> {
    this.supplies.image = sourceFile(file)
    return this.edit(signal)
  }

  /** The disk of a snapshot, opened at its first use, or the active one. */
  async openDisk(snapshot: string | null): Promise<Disk> {
    return { snapshot, size: (await this.image(snapshot)).size }
  }

  async partitions(snapshot: string | null, signal: AbortSignal): Promise<PartitionTable> {
    const image = await this.image(snapshot)
    return readPartitions((offset, length) => image.read(BigInt(offset), length, { signal }), image.size)
  }

  /** Explains the first stored cluster of a range, or else its first zero one, or else its first. */
  async explain(snapshot: string | null, start: number, end: number, signal: AbortSignal): Promise<Explained> {
    const image = await this.image(snapshot)
    let found: Extent | undefined
    for await (const extent of image.map({ offset: BigInt(start), length: BigInt(end - start), signal })) {
      if (!found || (extent.present && !found.present)) found = extent
      if (!extent.data) continue
      found = extent
      break
    }
    if (!found) throw new Error('There is nothing at this offset.')
    return { offset: found.start, extent: found, location: await image.locate(BigInt(found.start), { signal }) }
  }

  async read(source: ByteSource, offset: bigint, length: number, signal: AbortSignal): Promise<Uint8Array> {
    if (source.of === 'disk') return (await this.image(source.snapshot)).read(offset, length, { signal })
    const file = this.supplies.file(source.key)
    if (!file) throw new Error('This file is no longer open.')
    return readFrom(file, Number(offset), length, signal)
  }

  async survey(request: SurveyRequest, signal: AbortSignal, onPart: (part: Survey) => void): Promise<Survey> {
    const image = await this.image(request.snapshot)
    const buckets = new Buckets(request)
    let told = performance.now()
    const onProgress = ({ done }: { done: number }) => {
      buckets.reached(request.start + done)
      if (performance.now() - told < TELL_EVERY) return
      told = performance.now()
      onPart(buckets.survey())
    }
    const length = request.end - request.start
    for await (const extent of image.map({
      offset: BigInt(request.start),
      length: BigInt(length),
      signal,
      onProgress,
    })) {
      buckets.add(extent)
    }
    buckets.reached(request.end)
    return buckets.survey()
  }

  async close(): Promise<void> {
    for (const snapshot of this.snapshots.values()) await snapshot.then((image) => image.close()).catch(() => {})
    await this.active?.close()
    // What was read from the file as it was can no longer be.
    if (this.stored !== null) this.supplies.image = sourceFile(await opfs.file(this.stored))
  }

  private async image(snapshot: string | null): Promise<Qcow2> {
    const active = this.active
    if (!active) throw new Error('This file could not be opened as a disk.')
    if (snapshot === null) return active
    const opened = this.snapshots.get(snapshot) ?? active.snapshots.open(snapshot)
    this.snapshots.set(snapshot, opened)
    opened.catch(() => this.snapshots.delete(snapshot))
    return opened
  }

  async describe(): Promise<OpenedImage> {
    const image = await this.image(null)
    const info = await image.info()
    return {
      generation: ++generation,
      name: this.supplies.image.name,
      info,
      files: await this.supplies.files(),
      snapshots: [...image.snapshots],
      disk: { snapshot: null, size: info.virtualSize },
      without: this.supplies.without(),
      editing: this.changes !== null,
      notEditable: notEditable(info),
    }
  }
}

/** Tells now and then only, for each time crosses to the page. */
function seldom(onProgress: (progress: Progress) => void): (progress: Progress) => void {
  let told = performance.now()
  return (progress) => {
    if (performance.now() - told < TELL_EVERY) return
    told = performance.now()
    onProgress({ ...progress })
  }
}

/** Opens the image; begins again each time a data file turns out to be missing, or a passphrase to be wrong. */
async function openWithFiles(supplies: Supplies, changes: WritableStorage | null, signal: AbortSignal): Promise<Qcow2> {
  for (;;) {
    const dataFile = supplies.dataFile(0)
    try {
      return await Qcow2.open(changes ?? supplies.image.storage, {
        backing: supplies.backing,
        passphrase: supplies.passphrase,
        writable: changes !== null,
        signal,
        ...(dataFile && { dataFile }),
      })
    } catch (error) {
      if (!isQcow2Error(error)) throw error
      if (error.code === 'WRONG_PASSPHRASE') {
        supplies.refusePassphrase(error.depth ?? 0)
        continue
      }
      if (error.code !== 'MISSING_DATA_FILE') throw error
      const asked = await supplies.askForData(error.depth ?? 0, error.file?.name ?? '')
      if (!asked) throw error
    }
  }
}

/** The image with its changes. One on a server is read whole for that. */
async function contents({ source }: SourceFile, changes: Changes, signal: AbortSignal): Promise<Blob> {
  if (source instanceof File) return changes.blob()
  const parts: BlobPart[] = []
  await changes.stream().pipeTo(new WritableStream({ write: (part) => void parts.push(part) }), { signal })
  return new Blob(parts)
}

async function backingFormat(file: File): Promise<'qcow2' | 'raw'> {
  return (await inspect(blob(file))).format === 'qcow2' ? 'qcow2' : 'raw'
}

function notEditable(info: ImageInfo): string | null {
  if (info.externalDataFile) return 'Its data is in a second file, and this page edits images of one file only.'
  if (info.corrupt) return 'It is marked as corrupt: it has to be repaired before anything is written to it.'
  return null
}

export function failureOf(error: unknown): Failure {
  if (!isQcow2Error(error)) return { code: 'FILE', message: error instanceof Error ? error.message : String(error) }
  const { code, reason, offset, depth } = error
  return { code, message: reason, ...(offset !== undefined && { offset }), ...(depth !== undefined && { depth }) }
}
