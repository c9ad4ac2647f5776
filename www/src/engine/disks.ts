/** The disks of one open file: the active one, and those of an image's snapshots, each opened at its first use. */

import { type Disk as AnyDisk, type DiffExtent, type Extent, type ImageDisk, measure, Qcow2 } from 'qcow2-web'
import { type PartitionTable, readPartitions } from '../partitions'
import { Buckets } from './buckets'
import { fileChanges } from './changes'
import { advise, DiskFiles } from './files'
import type {
  ChangesSummary,
  Conversion,
  Disk,
  Explained,
  FilesChange,
  OnChanges,
  SnapshotChange,
  Survey,
  SurveyRequest,
  Watch,
} from './protocol'
import { REPORT_EVERY } from './seldom'
import { UndoableDisk } from './undo'

export class Disks {
  private readonly snapshots = new Map<string, Promise<ImageDisk>>()
  /** The files of the disks, by snapshot. */
  private readonly opened = new Map<string | null, DiskFiles>()
  /** The active disk as its files are changed. */
  private readonly undoable: UndoableDisk | null

  /** An image, or a raw disk, which has nothing but its bytes. */
  constructor(
    private readonly whole: Qcow2 | AnyDisk,
    /** The disk to close: the same, or the one that it is a slice of. */
    private readonly owner: AnyDisk = whole,
  ) {
    this.undoable = whole instanceof Qcow2 && !whole.readOnly ? new UndoableDisk(whole) : null
  }

  /** The image. */
  get active(): Qcow2 {
    if (!(this.whole instanceof Qcow2)) throw new Error('A raw disk is no image.')
    return this.whole
  }

  /** The disk of a snapshot, or the active one. */
  async disk(snapshot: string | null): Promise<AnyDisk> {
    return snapshot === null ? this.whole : this.image(snapshot)
  }

  /** The same with its tables, which a raw disk does not have. */
  private async image(snapshot: string | null): Promise<ImageDisk> {
    if (snapshot === null) return this.active
    const opened = this.snapshots.get(snapshot) ?? this.active.snapshots.open(snapshot)
    this.snapshots.set(snapshot, opened)
    opened.catch(() => this.snapshots.delete(snapshot))
    return opened
  }

  /** The files on a disk. */
  async files(snapshot: string | null): Promise<DiskFiles> {
    const disk = await this.disk(snapshot)
    const files = this.opened.get(snapshot) ?? new DiskFiles(snapshot === null ? (this.undoable ?? disk) : disk)
    this.opened.set(snapshot, files)
    return files
  }

  /** Changes the files of a volume of the active disk. One change at a time. Returns false if it can't be undone. */
  async changeFiles(id: string, change: FilesChange, { signal, onProgress }: Watch): Promise<boolean> {
    const files = await this.files(null)
    const volume = await files.volume(id)
    if (!this.undoable) throw new Error('The image is open for reading only. Unlock it for editing first.')
    try {
      return await this.undoable.change(async () => {
        if (change.kind === 'write') await volume.write(change.path, change.content, { signal, onProgress })
        else if (change.kind === 'createDirectory') await volume.createDirectory(change.path, { signal })
        else for (const path of change.paths) await volume.delete(path, { signal, recursive: true })
      })
    } catch (error) {
      await files.reopen(id)
      advise(error)
    }
  }

  /** Undoes the last change of files, which was to this volume. */
  async undoFiles(id: string): Promise<void> {
    await this.undoable?.undo()
    await (await this.files(null)).reopen(id)
  }

  /** Closes the volumes of the active disk: it was written without them. */
  forgetFiles(): void {
    this.closeFiles(null)
  }

  async openDisk(snapshot: string | null): Promise<Disk> {
    return { snapshot, size: (await this.disk(snapshot)).size }
  }

  /** Writes the active disk. */
  async write(offset: bigint, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.active.write(offset, bytes, { signal })
    this.forgetFiles()
  }

  async changeSnapshots(change: SnapshotChange, watch: Watch): Promise<void> {
    const { snapshots } = this.active
    if (change.kind === 'create') await snapshots.create(change.name, watch)
    else if (change.kind === 'rename') await snapshots.rename(change.id, change.name, watch)
    else if (change.kind === 'apply') {
      this.forgetFiles()
      this.undoable?.forget()
      await snapshots.apply(change.id, watch)
    } else {
      await this.closeSnapshot(change.id)
      await snapshots.delete(change.id, watch)
    }
  }

  /** Returns the length of the file that a conversion makes, if it is not compressed. */
  async measure(snapshot: string | null, { format, range }: Conversion, signal: AbortSignal): Promise<number> {
    const disk = await this.disk(snapshot)
    const part = range ? disk.slice(range.offset ?? 0, range.length) : disk
    return (await measure(part, { format, signal })).required
  }

  async partitions(snapshot: string | null, signal: AbortSignal): Promise<PartitionTable> {
    const disk = await this.disk(snapshot)
    return readPartitions((offset, length) => disk.read(offset, length, { signal }), disk.size)
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

  async survey(request: SurveyRequest, signal: AbortSignal, onPart: (part: Survey) => void): Promise<Survey> {
    const disk = await this.disk(request.snapshot)
    const buckets = new Buckets(request)
    let reported = performance.now()
    const onProgress = ({ done }: { done: number }) => {
      buckets.reached(request.start + done)
      if (performance.now() - reported < REPORT_EVERY) return
      reported = performance.now()
      onPart(buckets.survey())
    }
    const [offset, length] = [BigInt(request.start), BigInt(request.end - request.start)]
    for await (const extent of disk.map({ offset, length, signal, onProgress })) buckets.add(extent)
    buckets.reached(request.end)
    return buckets.survey()
  }

  /** Returns what may differ between a snapshot and another one, or the active disk. */
  async diff(from: string, to: string | null, watch: Watch): Promise<DiffExtent[]> {
    const extents: DiffExtent[] = []
    for await (const extent of this.active.diff(from, to, watch)) extents.push(extent)
    return extents
  }

  /** Finds the files that differ between a snapshot and another one, or the active disk. */
  async fileChanges(
    from: string,
    to: string | null,
    options: Watch & { onChanges: OnChanges },
  ): Promise<ChangesSummary> {
    const extents = await this.diff(from, to, { signal: options.signal, onProgress: () => {} })
    const [before, after] = await Promise.all([this.files(from), this.files(to)])
    return fileChanges(before, after, extents, options)
  }

  private async closeSnapshot(id: string): Promise<void> {
    const open = this.snapshots.get(id)
    this.snapshots.delete(id)
    this.closeFiles(id)
    await open?.then((image) => image.close())
  }

  async close(): Promise<void> {
    for (const snapshot of [...this.opened.keys()]) this.closeFiles(snapshot)
    for (const snapshot of this.snapshots.values()) await snapshot.then((image) => image.close()).catch(() => {})
    await this.owner.close()
  }

  private closeFiles(snapshot: string | null): void {
    this.opened.get(snapshot)?.close()
    this.opened.delete(snapshot)
  }
}
