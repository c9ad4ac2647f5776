/** The disks of one open file: the active one, and those of an image's snapshots, each opened at its first use. */

import { type Disk as AnyDisk, type DiffExtent, type Extent, type ImageDisk, Qcow2 } from 'qcow2-web'
import { type PartitionTable, readPartitions } from '../partitions'
import { Buckets } from './buckets'
import { fileChanges } from './changes'
import { DiskFiles } from './files'
import type { ChangesSummary, Disk, Explained, OnChanges, Progress, Survey, SurveyRequest } from './protocol'
import { seldom, TELL_EVERY } from './seldom'

export class Disks {
  private readonly snapshots = new Map<string, Promise<ImageDisk>>()
  /** The files of the disks, by snapshot. */
  private readonly opened = new Map<string | null, DiskFiles>()

  /** An image, or a raw disk, which has nothing but its bytes. */
  constructor(
    private readonly whole: Qcow2 | AnyDisk,
    /** What has to be closed: that, or what it is a part of. */
    private readonly held: AnyDisk = whole,
  ) {}

  /** The image. */
  get active(): Qcow2 {
    if (!(this.whole instanceof Qcow2)) throw new Error('A raw disk is no image.')
    return this.whole
  }

  /** The disk of a snapshot, or the active one. */
  async disk(snapshot: string | null): Promise<AnyDisk> {
    return snapshot === null ? this.whole : this.image(snapshot)
  }

  /** The same with the tables behind it, which a raw disk does not have. */
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
    const files = this.opened.get(snapshot) ?? new DiskFiles(disk)
    this.opened.set(snapshot, files)
    return files
  }

  /** The active disk was written: what is known of its files is out of date. */
  forgetFiles(): void {
    this.closeFiles(null)
  }

  async openDisk(snapshot: string | null): Promise<Disk> {
    return { snapshot, size: (await this.disk(snapshot)).size }
  }

  async read(snapshot: string | null, offset: bigint, length: number, signal: AbortSignal): Promise<Uint8Array> {
    return (await this.disk(snapshot)).read(offset, length, { signal })
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
    let told = performance.now()
    const onProgress = ({ done }: { done: number }) => {
      buckets.reached(request.start + done)
      if (performance.now() - told < TELL_EVERY) return
      told = performance.now()
      onPart(buckets.survey())
    }
    const [offset, length] = [BigInt(request.start), BigInt(request.end - request.start)]
    for await (const extent of disk.map({ offset, length, signal, onProgress })) buckets.add(extent)
    buckets.reached(request.end)
    return buckets.survey()
  }

  /** What may differ between a snapshot and another one, or the disk as it is now. */
  async diff(
    from: string,
    to: string | null,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<DiffExtent[]> {
    const extents: DiffExtent[] = []
    const options = { signal, onProgress: seldom(onProgress) }
    for await (const extent of this.active.diff(from, to, options)) extents.push(extent)
    return extents
  }

  /** Which files differ between a snapshot and another one, or the disk as it is now. */
  async fileChanges(
    from: string,
    to: string | null,
    signal: AbortSignal,
    onChanges: OnChanges,
    onProgress: (progress: Progress) => void,
  ): Promise<ChangesSummary> {
    const extents = await this.diff(from, to, signal, () => {})
    const [before, after] = await Promise.all([this.files(from), this.files(to)])
    return fileChanges(before, after, extents, { signal, onChanges, onProgress: seldom(onProgress) })
  }

  async closeSnapshot(id: string): Promise<void> {
    const open = this.snapshots.get(id)
    this.snapshots.delete(id)
    this.closeFiles(id)
    await open?.then((image) => image.close())
  }

  async close(): Promise<void> {
    for (const snapshot of [...this.opened.keys()]) this.closeFiles(snapshot)
    for (const snapshot of this.snapshots.values()) await snapshot.then((image) => image.close()).catch(() => {})
    await this.held.close()
  }

  private closeFiles(snapshot: string | null): void {
    this.opened.get(snapshot)?.close()
    this.opened.delete(snapshot)
  }
}
