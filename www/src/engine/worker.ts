/** The worker of the page: all engine work happens here, and the image's bytes stay here until they are asked for. */

import { expose, transfer } from 'comlink'
import { init, opfs, overlay, type StorageUser } from 'qcow2-web'
import { decompressed } from './decompress'
import { fileKindOf, isCompression } from './file-kind'
import type { DiskFiles } from './files'
import { find } from './find'
import { messageOf } from './message'
import type { Engine, Survey, VolumeAt } from './protocol'
import { seldom } from './seldom'
import { Session } from './session'
import { download, remote, sourceFile, useNetwork } from './source'
import { topOf } from './top'

const tasks = new Map<number, AbortController>()
let session: Session | null = null

async function cancellable<T>(task: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  tasks.set(task, controller)
  try {
    return await run(controller.signal)
  } finally {
    tasks.delete(task)
  }
}

function opened(): Session {
  if (!session) throw new Error('No image is open.')
  return session
}

async function goOnWith(next: Session | null): Promise<void> {
  const before = session
  session = next
  // What could not be written has been told when it was flushed; all is let go all the same.
  await before?.close().catch(() => {})
}

/** Does something to the image in its own file: for as long as that takes, if the image is open for reading only. */
async function inPlace<T>(now: Session, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  if (now.isEdited) return run()
  await now.editInPlace({}, signal)
  try {
    return await run()
  } finally {
    // The person may have gone to another image.
    if (session === now) await now.lock()
  }
}

/** Does something with the files of a disk. */
const onVolume = <T>(
  task: number,
  { snapshot }: VolumeAt,
  run: (files: DiskFiles, signal: AbortSignal) => Promise<T>,
): Promise<T> => cancellable(task, async (signal) => run(await opened().disks.files(snapshot), signal))

const moved = (survey: Survey): Survey => transfer(survey, [survey.bytes.buffer])

const engine: Engine = {
  useNetwork,

  download: (task, url, onProgress) => cancellable(task, (signal) => download(url, signal, seldom(onProgress))),

  decompress: (task, source, path, onProgress) =>
    cancellable(task, async (signal) => {
      const file = await sourceFile(source)
      const kind = await fileKindOf(file, signal)
      if (!isCompression(kind)) throw new Error('it is not compressed in a way that this page knows.')
      await opfs.import(path, await decompressed(file, kind, signal, seldom(onProgress)), { signal })
    }),

  topOf: (_task, files) => topOf(files),

  open: (task, source, how, ask) =>
    cancellable(task, async (signal) => {
      const [outcome, next] = await Session.open(source, how, ask, signal)
      if (signal.aborted) {
        await next?.close()
        return { kind: 'cancelled' }
      }
      if (next) await goOnWith(next)
      return outcome
    }),

  overlay: (task, url, path) =>
    cancellable(task, async (signal) => {
      const image = await overlay(remote(url), opfs(path, { create: true }), { signal })
      await image.close()
    }),

  create: (task, image, ask) =>
    cancellable(task, async (signal) => {
      const next = await Session.create(image, ask, signal)
      await goOnWith(next)
      return next.describe()
    }),

  edit: (task) =>
    cancellable(task, async (signal) => {
      const now = opened()
      await now.edit(signal)
      return now.describe()
    }),

  editInPlace: (task, takeOver, onTaken) =>
    cancellable(task, async (signal) => {
      const now = opened()
      const onTakeOver = async (image: StorageUser) => {
        // It may be asked for before the image is open, which is given up then. What goes wrong is reported below.
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
    }),

  lock: (task) =>
    cancellable(task, async (signal) => {
      const now = opened()
      await now.lock(signal)
      return now.describe()
    }),

  flush: (task) => cancellable(task, (signal) => opened().flush(signal)),

  copyUp: (task, onProgress) =>
    cancellable(task, async (signal) => {
      const now = opened()
      await inPlace(now, signal, () => now.copyUp(signal, onProgress))
      return opened().describe()
    }),

  changeSnapshots: (task, change, onProgress) =>
    cancellable(task, async (signal) => {
      const now = opened()
      await now.changeSnapshots(change, signal, onProgress)
      return now.describe()
    }),

  changeKeySlots: (task, change, onProgress) =>
    cancellable(task, async (signal) => {
      const now = opened()
      await now.changeKeySlots(change, signal, onProgress)
      return now.describe()
    }),

  diff: (task, from, to, onProgress) =>
    cancellable(task, (signal) => opened().disks.diff(from, to, signal, onProgress)),

  fileChanges: (task, from, to, onChanges, onProgress) =>
    cancellable(task, (signal) => opened().disks.fileChanges(from, to, signal, onChanges, onProgress)),

  check: (task, onProgress) => cancellable(task, (signal) => opened().check(signal, onProgress)),

  repair: (task, what, how, onProgress) =>
    cancellable(task, async (signal) => {
      const now = opened()
      const report = await now.repair(what, how, signal, onProgress)
      return { report, image: now.isOpen ? await now.describe() : null }
    }),

  write: (task, offset, bytes) => cancellable(task, (signal) => opened().write(offset, bytes, signal)),

  save: (task) =>
    cancellable(task, async (signal) => {
      const now = opened()
      const file = await now.save(signal)
      return { file, image: await now.describe() }
    }),

  copy: (task, onProgress) => cancellable(task, (signal) => opened().copy(signal, onProgress)),

  saved: async (source) => {
    const now = opened()
    await now.continueOver(source)
    return now.describe()
  },

  convert: (task, snapshot, target, how, onProgress) =>
    cancellable(task, (signal) => opened().convert(snapshot, target, how, signal, onProgress)),

  measure: (task, snapshot, how) => cancellable(task, (signal) => opened().measure(snapshot, how, signal)),

  openDisk: (_task, snapshot) => opened().disks.openDisk(snapshot),
  partitions: (task, snapshot) => cancellable(task, (signal) => opened().disks.partitions(snapshot, signal)),
  volumes: (task, snapshot) => cancellable(task, async (signal) => (await opened().disks.files(snapshot)).list(signal)),

  usage: (task, at) => onVolume(task, at, (files, signal) => files.usage(at.volume, signal)),

  listFiles: (task, at, path, onEntries) =>
    onVolume(task, at, (files, signal) => files.entries(at.volume, path, signal, onEntries)),

  findFiles: (task, at, path, pattern, onEntries) =>
    onVolume(task, at, (files, signal) => files.find(at.volume, path, pattern, signal, onEntries)),

  statFile: (task, at, path) =>
    onVolume(task, at, async (files, signal) => (await files.volume(at.volume)).stat(path, { signal })),

  readLink: (task, at, path) =>
    onVolume(task, at, async (files, signal) => (await files.volume(at.volume)).readLink(path, { signal })),

  readFile: (task, at, path, offset, length) =>
    onVolume(task, at, async (files, signal) => {
      const bytes = await (await files.volume(at.volume)).read(path, offset, length, { signal })
      return transfer(bytes, [bytes.buffer])
    }),

  extractFile: (task, at, path, onProgress) =>
    onVolume(task, at, (files, signal) => files.extract(at.volume, path, signal, onProgress)),

  zipFiles: (task, at, paths, onProgress) =>
    onVolume(task, at, (files, signal) => files.zip(at.volume, paths, signal, onProgress)),

  explain: (task, snapshot, start, end) =>
    cancellable(task, (signal) => opened().disks.explain(snapshot, start, end, signal)),

  read: (task, source, offset, length) =>
    cancellable(task, async (signal) => {
      const bytes = await opened().read(source, offset, length, signal)
      return transfer(bytes, [bytes.buffer])
    }),

  find: (task, source, needle, from, backwards, onProgress) =>
    cancellable(task, async (signal) =>
      find(await opened().bytes(source), needle, from, { backwards, signal, onProgress: seldom(onProgress) }),
    ),

  hash: (task, hashed, names, onProgress) =>
    cancellable(task, (signal) => opened().hash(hashed, names, signal, onProgress)),

  survey: (task, request, onPart) =>
    cancellable(task, async (signal) =>
      moved(await opened().disks.survey(request, signal, (part) => onPart(moved(part)))),
    ),

  cancel: (task) => tasks.get(task)?.abort(),

  close: () => goOnWith(null),
}

// Compiled while the person chooses a file; a failure comes up again, with its reason, when one is opened.
void init().catch(() => {})
expose(engine)
