/**
 * What the page asks of its worker. Each operation is spelled out here once: `client.ts` derives the page's calls from these
 * signatures, with the signal optional.
 *
 * The page does not open its images by the package's own worker mode, for three reasons:
 *
 * - Search, hashes, the map's sums and the comparison of files are page code over every byte or extent of a disk. An image that
 *   is open in the package's worker cannot be reached from a third thread: each chunk would cross to the page, which must stay
 *   free for input, and from there to a worker of the page.
 * - The readers of file systems rerun a call for each range that is not cached, unless the disk has `readSync`. A disk has it
 *   only in the thread of its engine.
 * - The drafts that take the changes and the way to other servers (a message port) are objects of one thread. The package would
 *   lend them from the page to its worker, with two messages for each cluster that is read or written.
 *
 * So the page's code moves to the disk, and only results cross.
 */

import { transfer } from 'comlink'
import { type CheckReport, type DiffExtent, opfs, overlay, type RepairReport, type StorageUser } from 'qcow2-web'
import type { FilePath, FileStat, VolumeUsage } from 'qcow2-web/files'
import type { PartitionTable } from '../partitions'
import type { Needle } from '../search/needle'
import { convertDisk } from './conversion'
import { decompressed } from './decompress'
import { fileKindOf, isCompression } from './file-kind'
import { find } from './find'
import { hash } from './hash'
import { messageOf } from './message'
import type {
  Ask,
  ByteSource,
  ChangesSummary,
  Conversion,
  ConversionTarget,
  Disk,
  Explained,
  Extracted,
  FilesChange,
  Found,
  Hashable,
  Hashes,
  HashName,
  KeySlotChange,
  NewImage,
  OnChanges,
  OnEntries,
  OnProgress,
  OpenedImage,
  OpenHow,
  OpenOutcome,
  RepairHow,
  SnapshotChange,
  Survey,
  SurveyRequest,
  VolumeAt,
  VolumeList,
} from './protocol'
import { seldom } from './seldom'
import { Session } from './session'
import { download, type Remote, remote, type Source, sourceFile } from './source'
import { topOf } from './top'

let session: Session | null = null

function opened(): Session {
  if (!session) throw new Error('No image is open.')
  return session
}

async function continueWith(next: Session | null): Promise<void> {
  const before = session
  session = next
  // A write that failed was reported by the flush. Everything is released all the same.
  await before?.close().catch(() => {})
}

/** Changes the image in its own file. An image that is open for reading only is open for writing until `run` has finished. */
async function inPlace<T>(now: Session, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  if (now.isEdited) return run()
  await now.editInPlace({}, signal)
  try {
    return await run()
  } finally {
    // The person may have opened another image in the meantime.
    if (session === now) await now.lock()
  }
}

const filesOf = ({ snapshot }: VolumeAt) => opened().disks.files(snapshot)
const volumeOf = async (at: VolumeAt) => (await filesOf(at)).volume(at.volume)

const movedSurvey = (survey: Survey): Survey => transfer(survey, [survey.bytes.buffer])
const movedBytes = (bytes: Uint8Array): Uint8Array => transfer(bytes, [bytes.buffer])

export type Operations = typeof operations

/** The signal is the last parameter of each operation that can be cancelled. */
export const operations = {
  /** Downloads a whole file from a server that sends no ranges of it. The browser keeps it until the page is closed. */
  download({ url }: Remote, onProgress: OnProgress, signal: AbortSignal): Promise<Blob> {
    return download(url, signal, seldom(onProgress))
  },

  /** Decompresses a file into one of the browser's storage at `path`. There is none if it fails. */
  async decompress(source: Source, path: string, onProgress: OnProgress, signal: AbortSignal): Promise<void> {
    const file = await sourceFile(source)
    const kind = await fileKindOf(file, signal)
    if (!isCompression(kind)) throw new Error('it is not compressed in a way that this page knows.')
    await opfs.import(path, await decompressed(file, kind, signal, seldom(onProgress)), { signal })
  },

  /** Returns the index of the file that is the image to which the others belong. */
  topOf(files: File[]): Promise<number> {
    return topOf(files)
  },

  /** Opens an image; with `asRaw` the bytes of any file as a disk. A raw disk with a known layout needs no `asRaw`. */
  async open(source: Source, how: OpenHow, ask: Ask, signal: AbortSignal): Promise<OpenOutcome> {
    const [outcome, next] = await Session.open(source, how, ask, signal)
    if (signal.aborted) {
      await next?.close()
      return { kind: 'cancelled' }
    }
    if (next) await continueWith(next)
    return outcome
  },

  /** Creates an image in the browser's storage at `path`, over the one at `url`, which stays as it is. */
  async overlay({ url }: Remote, path: string, signal: AbortSignal): Promise<void> {
    const image = await overlay(remote(url), opfs(path, { create: true }), { signal })
    await image.close()
  },

  /** Creates an image in memory, to be saved, and opens it for editing. */
  async create(image: NewImage, ask: Ask, signal: AbortSignal): Promise<OpenedImage> {
    const next = await Session.create(image, ask, signal)
    await continueWith(next)
    return next.describe()
  },

  /** Opens the image again, with changes in memory. If that fails, the image stays open as it was. */
  async edit(signal: AbortSignal): Promise<OpenedImage> {
    const now = opened()
    await now.edit(signal)
    return now.describe()
  },

  /**
   * As `edit`, for an image that the browser keeps: its file itself is changed. If another tab changes it, this rejects with code
   * `IN_USE`; with `takeOver` that tab is asked to close it. When another tab asks this one, the image is closed and `onTaken`
   * called, with the reason if the last changes could not be stored.
   */
  async editInPlace(
    takeOver: boolean,
    onTaken: (problem: string | null) => void,
    signal: AbortSignal,
  ): Promise<OpenedImage> {
    const now = opened()
    const onTakeOver = async (image: StorageUser) => {
      // Another tab may ask before the image is open. Opening it then fails, which is reported below.
      image.close().catch(() => {})
      if (session !== now) return
      session = null
      await now.close().then(
        () => onTaken(null),
        (error) => onTaken(messageOf(error)),
      )
    }
    await now.editInPlace({ takeOver, onTakeOver }, signal)
    return now.describe()
  },

  /**
   * Opens the image for reading only. Changes in memory are discarded. If that fails, an image that was changed in memory stays as
   * it was, and one that was changed in place is closed.
   */
  async lock(signal: AbortSignal): Promise<OpenedImage> {
    const now = opened()
    await now.lock(signal)
    return now.describe()
  },

  /** Makes the changes in place durable. */
  async flush(signal: AbortSignal): Promise<void> {
    await opened().disks.active.flush({ signal })
  },

  /** Copies the data of the backing files into the image. If it is cancelled or fails, the image keeps what was copied. */
  async copyUp(onProgress: OnProgress, signal: AbortSignal): Promise<OpenedImage> {
    const now = opened()
    await inPlace(now, signal, () => now.copyUp(signal, seldom(onProgress)))
    return opened().describe()
  },

  write(offset: bigint, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    return opened().disks.write(offset, bytes, signal)
  },

  /** Flushes the image, and returns it with its changes as a file that shares the unchanged bytes with the original. */
  async save(signal: AbortSignal): Promise<{ file: File; image: OpenedImage }> {
    const now = opened()
    const file = await now.save(signal)
    return { file, image: await now.describe() }
  },

  /** Flushes the image that is changed in place, and returns a copy of its file. Nothing may be changed meanwhile. */
  copy(onProgress: OnProgress, signal: AbortSignal): Promise<File> {
    return opened().copy(signal, seldom(onProgress))
  },

  /** Continues with `source` as the image's file: the same bytes, saved elsewhere. */
  async saved(source: Source): Promise<OpenedImage> {
    const now = opened()
    await now.continueOver(source)
    return now.describe()
  },

  async changeSnapshots(change: SnapshotChange, onProgress: OnProgress, signal: AbortSignal): Promise<OpenedImage> {
    const now = opened()
    await now.disks.changeSnapshots(change, { signal, onProgress: seldom(onProgress) })
    return now.describe()
  },

  async changeKeySlots(change: KeySlotChange, onProgress: OnProgress, signal: AbortSignal): Promise<OpenedImage> {
    const now = opened()
    await now.changeKeySlots(change, { signal, onProgress: seldom(onProgress) })
    return now.describe()
  },

  /** Returns what may differ between a snapshot and another one, or the active disk. */
  diff(from: string, to: string | null, onProgress: OnProgress, signal: AbortSignal): Promise<DiffExtent[]> {
    return opened().disks.diff(from, to, { signal, onProgress: seldom(onProgress) })
  },

  /** Finds the files that differ between them. The progress counts entries of directories; its total is not known. */
  fileChanges(
    from: string,
    to: string | null,
    onChanges: OnChanges,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<ChangesSummary> {
    return opened().disks.fileChanges(from, to, { signal, onChanges, onProgress: seldom(onProgress) })
  },

  /** Checks the image with its changes, also one that can't be opened. */
  check(onProgress: OnProgress, signal: AbortSignal): Promise<CheckReport> {
    return opened().check({ signal, onProgress: seldom(onProgress) })
  },

  /** Repairs the image with its changes, also one that can't be opened. Its disks are closed meanwhile. */
  async repair(
    what: 'leaks' | 'all',
    how: RepairHow,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<{ report: RepairReport; image: OpenedImage | null }> {
    const now = opened()
    const report = await now.repair(what, how, { signal, onProgress: seldom(onProgress) })
    return { report, image: now.isOpen ? await now.describe() : null }
  },

  /**
   * Converts a disk to a file. If it fails, there is no file in the browser's storage, and a file that the person chose is as it was.
   * Returns how many bytes could not be read, and are zeros in the file.
   */
  async convert(
    snapshot: string | null,
    target: ConversionTarget,
    how: Conversion,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<number> {
    return convertDisk(await opened().disks.disk(snapshot), target, how, { signal, onProgress: seldom(onProgress) })
  },

  /** Returns the length of the file that a conversion makes, if it is not compressed. */
  measure(snapshot: string | null, how: Conversion, signal: AbortSignal): Promise<number> {
    return opened().disks.measure(snapshot, how, signal)
  },

  openDisk(snapshot: string | null): Promise<Disk> {
    return opened().disks.openDisk(snapshot)
  },

  partitions(snapshot: string | null, signal: AbortSignal): Promise<PartitionTable> {
    return opened().disks.partitions(snapshot, signal)
  },

  async volumes(snapshot: string | null, signal: AbortSignal): Promise<VolumeList> {
    return (await opened().disks.files(snapshot)).list(signal)
  },

  /** Returns the used and free bytes of a volume; `undefined` if its file system knows neither. */
  async usage(at: VolumeAt, signal: AbortSignal): Promise<VolumeUsage | undefined> {
    return (await volumeOf(at)).usage({ signal })
  },

  /** Unlocks an encrypted volume for as long as the disk is open. Returns the ids of the volumes in it. */
  async unlockVolume({ snapshot, volume }: VolumeAt, passphrase: string, signal: AbortSignal): Promise<string[]> {
    return (await opened().disks.files(snapshot)).unlock(volume, passphrase, signal)
  },

  /** Changes the files of a volume of the active disk. A change that fails is undone. Returns false if it can't be undone. */
  changeFiles(volume: string, change: FilesChange, onProgress: OnProgress, signal: AbortSignal): Promise<boolean> {
    return opened().disks.changeFiles(volume, change, { signal, onProgress: seldom(onProgress) })
  },

  /** Undoes the last change of files, which was to this volume. */
  undoFiles(volume: string): Promise<void> {
    return opened().disks.undoFiles(volume)
  },

  async listFiles(at: VolumeAt, path: FilePath, onEntries: OnEntries, signal: AbortSignal): Promise<void> {
    await (await filesOf(at)).entries(at.volume, path, signal, onEntries)
  },

  /** Finds entries below `path` whose names match `pattern`. Returns how many directories could not be read. */
  async findFiles(
    at: VolumeAt,
    path: FilePath,
    pattern: string,
    onEntries: OnEntries,
    signal: AbortSignal,
  ): Promise<number> {
    return (await filesOf(at)).find(at.volume, path, pattern, signal, onEntries)
  },

  /** Looks a file up. Follows a symbolic link. */
  async statFile(at: VolumeAt, path: FilePath, signal: AbortSignal): Promise<FileStat> {
    return (await volumeOf(at)).stat(path, { signal })
  },

  async readLink(at: VolumeAt, path: FilePath, signal: AbortSignal): Promise<string> {
    return (await volumeOf(at)).readLink(path, { signal })
  },

  async readFile(
    at: VolumeAt,
    path: FilePath,
    offset: number,
    length: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return movedBytes(await (await volumeOf(at)).read(path, offset, length, { signal }))
  },

  async extractFile(at: VolumeAt, path: FilePath, onProgress: OnProgress, signal: AbortSignal): Promise<Extracted> {
    return (await filesOf(at)).extract(at.volume, path, { signal, onProgress: seldom(onProgress) })
  },

  /** Makes a zip archive of `paths`, with all that is in them. */
  async zipFiles(at: VolumeAt, paths: FilePath[], onProgress: OnProgress, signal: AbortSignal): Promise<Extracted> {
    return (await filesOf(at)).zip(at.volume, paths, { signal, onProgress: seldom(onProgress) })
  },

  explain(snapshot: string | null, start: number, end: number, signal: AbortSignal): Promise<Explained> {
    return opened().disks.explain(snapshot, start, end, signal)
  },

  async read(source: ByteSource, offset: bigint, length: number, signal: AbortSignal): Promise<Uint8Array> {
    return movedBytes(await opened().read(source, offset, length, signal))
  },

  /** Searches bytes from an offset to the end of the disk, and then from its other end. */
  async find(
    source: ByteSource,
    needle: Needle,
    from: bigint,
    backwards: boolean,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<Found> {
    return find(await opened().bytes(source), needle, from, { backwards, signal, onProgress: seldom(onProgress) })
  },

  hash(hashed: Hashable, names: HashName[], onProgress: OnProgress, signal: AbortSignal): Promise<Hashes> {
    return hash(opened(), hashed, names, { signal, onProgress: seldom(onProgress) })
  },

  async survey(request: SurveyRequest, onPart: (part: Survey) => void, signal: AbortSignal): Promise<Survey> {
    return movedSurvey(await opened().disks.survey(request, signal, (part) => onPart(movedSurvey(part))))
  },

  close(): Promise<void> {
    return continueWith(null)
  },
}
