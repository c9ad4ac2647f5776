/** The page's side of the worker: the same calls, cancelled by AbortSignals instead of by task numbers. */

import { signal } from '@preact/signals'
import { proxy, transfer, wrap } from 'comlink'
import { type CheckReport, type DiffExtent, Qcow2Error, type RepairReport } from 'qcow2-web'
import type { FilePath, FileStat, VolumeUsage } from 'qcow2-web/files'
import { allow, isElsewhere, network } from '../network/page'
import type { PartitionTable } from '../partitions'
import type { Needle } from '../search/needle'
import type {
  Ask,
  ByteSource,
  ChangesSummary,
  Conversion,
  ConversionTarget,
  Disk,
  Engine,
  Explained,
  Extracted,
  Found,
  Hashable,
  Hashes,
  HashName,
  KeySlotChange,
  NewImage,
  OnChanges,
  OnEntries,
  OpenedImage,
  OpenHow,
  OpenOutcome,
  Progress,
  RepairHow,
  SnapshotChange,
  Survey,
  SurveyRequest,
  VolumeAt,
  VolumeList,
} from './protocol'
import type { Source } from './source'

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'qcow2-web' })
const remote = wrap<Engine>(worker)
let lastTask = 0

/** The worker could not even start: its script is missing, or the browser can't run it. */
export const workerFailure = new Promise<string>((resolve) => {
  worker.addEventListener('error', (event) => resolve(event.message || 'The worker of this page could not be started.'))
})

/** True from when a file turned out to be another one than was opened, until one is opened again. */
export const fileChanged = signal(false)

async function run<T>(signal: AbortSignal | undefined, call: (task: number) => Promise<T>): Promise<T> {
  const result = await carryOut(signal, call)
  signal?.throwIfAborted()
  return result
}

/** As `run`, for what changes the image, or how it is open: what is done is done, also if it was given up at the last moment. */
async function carryOut<T>(signal: AbortSignal | undefined, call: (task: number) => Promise<T>): Promise<T> {
  signal?.throwIfAborted()
  const task = ++lastTask
  const cancel = () => void remote.cancel(task)
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    return await call(task)
  } catch (error) {
    // What comes from the worker has lost its fields.
    const own = Qcow2Error.from(error)
    if (own?.code === 'FILE_CHANGED') fileChanged.value = true
    throw own ?? error
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

let connected: Promise<void> | null = null

/** Lets the worker fetch a file of another server: one that the person has named. */
async function permit(source: Source): Promise<void> {
  if (!('url' in source) || !isElsewhere(source.url)) return
  if (!connected) {
    const port = network()
    connected = remote.useNetwork(transfer(port, [port]))
  }
  await connected
  await allow(source.url)
}

/** Asks the person, and permits what is answered. */
function permitting(ask: Ask): Ask {
  return async (missing) => {
    const answer = await ask(missing)
    if (answer.kind === 'file') await permit(answer.file)
    return answer
  }
}

export const engine = {
  download: (url: string, onProgress: (progress: Progress) => void, signal?: AbortSignal): Promise<Blob> =>
    run(signal, async (task) => {
      await permit({ url })
      return remote.download(task, url, proxy(onProgress))
    }),

  decompress: (
    source: Source,
    path: string,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<void> =>
    run(signal, async (task) => {
      await permit(source)
      await remote.decompress(task, source, path, proxy(onProgress))
    }),

  topOf: (files: File[]): Promise<number> => run(undefined, (task) => remote.topOf(task, files)),

  open: (source: Source, how: OpenHow, ask: Ask, signal?: AbortSignal): Promise<OpenOutcome> =>
    run(signal, async (task) => {
      await permit(source)
      return (await remote.open(task, source, how, proxy(permitting(ask)))) as OpenOutcome
    }),

  overlay: (url: string, path: string, signal?: AbortSignal): Promise<void> =>
    run(signal, async (task) => {
      await permit({ url })
      await remote.overlay(task, url, path)
    }),

  create: (image: NewImage, ask: Ask, signal?: AbortSignal): Promise<OpenedImage> =>
    run(signal, (task) => remote.create(task, image, proxy(permitting(ask)))),

  edit: (signal?: AbortSignal): Promise<OpenedImage> => carryOut(signal, (task) => remote.edit(task)),

  editInPlace: (
    takeOver: boolean,
    onTaken: (problem: string | null) => void,
    signal?: AbortSignal,
  ): Promise<OpenedImage> => carryOut(signal, (task) => remote.editInPlace(task, takeOver, proxy(onTaken))),

  lock: (signal?: AbortSignal): Promise<OpenedImage> => carryOut(signal, (task) => remote.lock(task)),

  flush: (signal?: AbortSignal): Promise<void> => run(signal, (task) => remote.flush(task)),

  copyUp: (onProgress: (progress: Progress) => void, signal?: AbortSignal): Promise<OpenedImage> =>
    carryOut(signal, (task) => remote.copyUp(task, proxy(onProgress))),

  write: (offset: bigint, bytes: Uint8Array): Promise<void> =>
    run(undefined, (task) => remote.write(task, offset, bytes)),

  save: (signal?: AbortSignal): Promise<{ file: File; image: OpenedImage }> =>
    carryOut(signal, (task) => remote.save(task)),

  copy: (onProgress: (progress: Progress) => void, signal?: AbortSignal): Promise<File> =>
    run(signal, (task) => remote.copy(task, proxy(onProgress))),

  saved: (source: Source): Promise<OpenedImage> => remote.saved(source),

  changeSnapshots: (
    change: SnapshotChange,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<OpenedImage> => carryOut(signal, (task) => remote.changeSnapshots(task, change, proxy(onProgress))),

  changeKeySlots: (
    change: KeySlotChange,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<OpenedImage> => carryOut(signal, (task) => remote.changeKeySlots(task, change, proxy(onProgress))),

  diff: (
    from: string,
    to: string | null,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<DiffExtent[]> =>
    run(signal, (task) => remote.diff(task, from, to, proxy(onProgress)) as Promise<DiffExtent[]>),

  fileChanges: (
    from: string,
    to: string | null,
    onChanges: OnChanges,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<ChangesSummary> =>
    run(signal, (task) => remote.fileChanges(task, from, to, proxy(onChanges), proxy(onProgress))),

  check: (onProgress: (progress: Progress) => void, signal?: AbortSignal): Promise<CheckReport> =>
    run(signal, (task) => remote.check(task, proxy(onProgress)) as Promise<CheckReport>),

  repair: (
    what: 'leaks' | 'all',
    how: RepairHow,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<{ report: RepairReport; image: OpenedImage | null }> =>
    carryOut(
      signal,
      (task) =>
        remote.repair(task, what, how, proxy(onProgress)) as Promise<{
          report: RepairReport
          image: OpenedImage | null
        }>,
    ),

  convert: (
    snapshot: string | null,
    target: ConversionTarget,
    how: Conversion,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<number> => run(signal, (task) => remote.convert(task, snapshot, target, how, proxy(onProgress))),

  measure: (snapshot: string | null, how: Conversion, signal?: AbortSignal): Promise<number> =>
    run(signal, (task) => remote.measure(task, snapshot, how)),

  openDisk: (snapshot: string | null): Promise<Disk> => run(undefined, (task) => remote.openDisk(task, snapshot)),

  partitions: (snapshot: string | null, signal?: AbortSignal): Promise<PartitionTable> =>
    run(signal, (task) => remote.partitions(task, snapshot)),

  volumes: (snapshot: string | null, signal?: AbortSignal): Promise<VolumeList> =>
    run(signal, (task) => remote.volumes(task, snapshot)),

  usage: (at: VolumeAt, signal?: AbortSignal): Promise<VolumeUsage | undefined> =>
    run(signal, (task) => remote.usage(task, at)),

  listFiles: (at: VolumeAt, path: FilePath, onEntries: OnEntries, signal?: AbortSignal): Promise<void> =>
    run(signal, (task) => remote.listFiles(task, at, path, proxy(onEntries))),

  findFiles: (
    at: VolumeAt,
    path: FilePath,
    pattern: string,
    onEntries: OnEntries,
    signal?: AbortSignal,
  ): Promise<number> => run(signal, (task) => remote.findFiles(task, at, path, pattern, proxy(onEntries))),

  statFile: (at: VolumeAt, path: FilePath, signal?: AbortSignal): Promise<FileStat> =>
    run(signal, (task) => remote.statFile(task, at, path)),

  readLink: (at: VolumeAt, path: FilePath, signal?: AbortSignal): Promise<string> =>
    run(signal, (task) => remote.readLink(task, at, path)),

  readFile: (at: VolumeAt, path: FilePath, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> =>
    run(signal, (task) => remote.readFile(task, at, path, offset, length)),

  extractFile: (
    at: VolumeAt,
    path: FilePath,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<Extracted> => run(signal, (task) => remote.extractFile(task, at, path, proxy(onProgress))),

  zipFiles: (
    at: VolumeAt,
    paths: FilePath[],
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<Extracted> => run(signal, (task) => remote.zipFiles(task, at, paths, proxy(onProgress))),

  explain: (snapshot: string | null, start: number, end: number, signal?: AbortSignal): Promise<Explained> =>
    run(signal, (task) => remote.explain(task, snapshot, start, end)),

  read: (source: ByteSource, offset: bigint, length: number, signal?: AbortSignal): Promise<Uint8Array> =>
    run(signal, (task) => remote.read(task, source, offset, length)),

  find: (
    source: ByteSource,
    needle: Needle,
    from: bigint,
    backwards: boolean,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<Found> => run(signal, (task) => remote.find(task, source, needle, from, backwards, proxy(onProgress))),

  hash: (
    hashed: Hashable,
    names: HashName[],
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<Hashes> => run(signal, (task) => remote.hash(task, hashed, names, proxy(onProgress))),

  survey: (request: SurveyRequest, onPart: (part: Survey) => void, signal?: AbortSignal): Promise<Survey> =>
    run(signal, (task) => remote.survey(task, request, proxy(onPart))),

  close: (): Promise<void> => remote.close(),
}
