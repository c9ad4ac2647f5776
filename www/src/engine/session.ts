/** One opened image with everything that is open of it: its files, its active disk, the disks of its snapshots. */

import { blob, type Extent, type ImageInfo, inspect, isQcow2Error, Qcow2, type Storage } from 'qcow2-web'
import { type PartitionTable, readPartitions } from '../partitions'
import { Buckets } from './buckets'
import type {
  AskForFile,
  ByteSource,
  Disk,
  Explained,
  Failure,
  OpenedImage,
  OpenOutcome,
  Survey,
  SurveyRequest,
} from './protocol'
import { Supplies } from './supplies'

/** Milliseconds between two parts of a survey that go to the page. */
const TELL_EVERY = 80

let generation = 0

export class Session {
  private readonly snapshots = new Map<string, Promise<Qcow2>>()

  private constructor(
    private readonly file: File,
    private readonly supplies: Supplies,
    private readonly active: Qcow2 | null,
  ) {}

  static async open(file: File, ask: AskForFile, signal: AbortSignal): Promise<[OpenOutcome, Session | null]> {
    const supplies = new Supplies(file, ask)
    try {
      const image = await openWithFiles(file, supplies, signal)
      const session = new Session(file, supplies, image)
      return [{ kind: 'opened', image: session.describe(await image.info(), image) }, session]
    } catch (error) {
      if (supplies.cancelled || signal.aborted) return [{ kind: 'cancelled' }, null]
      const inspection = await inspect(blob(file)).catch(() => null)
      const refused: OpenOutcome = {
        kind: 'refused',
        name: file.name,
        size: file.size,
        failure: failureOf(error),
        inspection,
      }
      return [refused, new Session(file, supplies, null)]
    }
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
    const start = Number(offset)
    return new Uint8Array(await file.slice(start, start + length).arrayBuffer())
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

  private describe(info: ImageInfo, image: Qcow2): OpenedImage {
    return {
      generation: ++generation,
      name: this.file.name,
      info,
      files: this.supplies.files(),
      snapshots: [...image.snapshots],
      disk: { snapshot: null, size: info.virtualSize },
      without: this.supplies.without(),
    }
  }
}

/** Opens the image; begins again with a data file each time one turns out to be missing. */
async function openWithFiles(file: File, supplies: Supplies, signal: AbortSignal): Promise<Qcow2> {
  for (;;) {
    const dataFile: Storage | undefined = supplies.dataFile(0)
    try {
      return await Qcow2.open(blob(file), { backing: supplies.backing, signal, ...(dataFile && { dataFile }) })
    } catch (error) {
      if (!isQcow2Error(error) || error.code !== 'MISSING_DATA_FILE') throw error
      const asked = await supplies.askForData(error.depth ?? 0, error.file?.name ?? '')
      if (!asked) throw error
    }
  }
}

export function failureOf(error: unknown): Failure {
  if (!isQcow2Error(error)) return { code: 'FILE', message: error instanceof Error ? error.message : String(error) }
  const { code, reason, offset, depth } = error
  return { code, message: reason, ...(offset !== undefined && { offset }), ...(depth !== undefined && { depth }) }
}
