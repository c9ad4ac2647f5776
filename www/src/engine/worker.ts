/** The worker of the page: all engine work happens here, and the image's bytes stay here until they are asked for. */

import { expose, transfer } from 'comlink'
import { init, opfs, overlay } from 'qcow2-web'
import type { Engine, Survey } from './protocol'
import { Session } from './session'
import { remote } from './source'

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

async function goOnWith(next: Session): Promise<void> {
  const before = session
  session = next
  await before?.close()
}

const moved = (survey: Survey): Survey => transfer(survey, [survey.bytes.buffer])

const engine: Engine = {
  open: (task, source, ask) =>
    cancellable(task, async (signal) => {
      const [outcome, next] = await Session.open(source, ask, signal)
      if (signal.aborted) {
        await next?.close()
        return { kind: 'cancelled' }
      }
      if (!next) return outcome
      await goOnWith(next)
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
      const next = await opened().edit(signal)
      await goOnWith(next)
      return next.describe()
    }),

  copyUp: (task, path, onProgress) =>
    cancellable(task, async (signal) => {
      if (path !== null) await goOnWith(await opened().editInPlace(path, signal))
      const now = opened()
      try {
        await now.copyUp(signal, onProgress)
      } finally {
        // The person may have gone to another image.
        if (path !== null && session === now) session = await now.leavePlace(new AbortController().signal)
      }
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

  diff: (task, snapshot, onProgress) => cancellable(task, (signal) => opened().diff(snapshot, signal, onProgress)),

  check: (task, onProgress) => cancellable(task, (signal) => opened().check(signal, onProgress)),

  repair: (task, what, acceptLoss, onProgress) =>
    cancellable(task, async (signal) => {
      const [report, next] = await opened().repair(what, acceptLoss, signal, onProgress)
      session = next
      return { report, image: next.isOpen ? await next.describe() : null }
    }),

  write: (task, offset, bytes) => cancellable(task, (signal) => opened().write(offset, bytes, signal)),

  save: (task) =>
    cancellable(task, async (signal) => {
      const [file, next] = await opened().save(signal)
      session = next
      return { file, image: await next.describe() }
    }),

  saved: (task, file) =>
    cancellable(task, async (signal) => {
      const next = await opened().continueOver(file, signal)
      await goOnWith(next)
      return next.describe()
    }),

  convert: (task, snapshot, path, how, onProgress) =>
    cancellable(task, (signal) => opened().convert(snapshot, path, how, signal, onProgress)),

  openDisk: (_task, snapshot) => opened().openDisk(snapshot),
  partitions: (task, snapshot) => cancellable(task, (signal) => opened().partitions(snapshot, signal)),
  explain: (task, snapshot, start, end) =>
    cancellable(task, (signal) => opened().explain(snapshot, start, end, signal)),

  read: (task, source, offset, length) =>
    cancellable(task, async (signal) => {
      const bytes = await opened().read(source, offset, length, signal)
      return transfer(bytes, [bytes.buffer])
    }),

  survey: (task, request, onPart) =>
    cancellable(task, async (signal) => moved(await opened().survey(request, signal, (part) => onPart(moved(part))))),

  cancel: (task) => tasks.get(task)?.abort(),

  close: async () => {
    const before = session
    session = null
    await before?.close()
  },
}

// Compiled while the person chooses a file; a failure comes up again, with its reason, when one is opened.
void init().catch(() => {})
expose(engine)
