import { flag, show, watchIn } from '../../base/arguments.js'
import { invalidArgument, Qcow2Error } from '../../base/errors.js'
import type { LongOptions } from '../../base/progress.js'
import { claiming } from './claiming.js'
import { hasAccessHandles, OpfsFile } from './file.js'
import { directory, fileAt, type OpfsPath, parsePath, translated } from './path.js'
import { RemoteOpfsFile } from './remote.js'
import { mustReplace, replaceWith } from './replaced.js'

/** A file or a directory of the origin-private file system. */
export interface OpfsEntry {
  /** The last name of its path. */
  readonly name: string
  /** From the root, with slashes. */
  readonly path: string
  /** Which of the two it is. */
  readonly kind: 'file' | 'directory'
  /** In bytes; 0 for a directory. */
  readonly size: number
  /** When it was last changed; `undefined` for a directory. */
  readonly modified: Date | undefined
}

/** How {@link Opfs.import} writes. */
export interface OpfsImportOptions extends LongOptions {
  /** Replace a file that is there. Default: false. */
  readonly overwrite?: boolean | undefined
}

/** See {@link Opfs.list}. */
export async function list(path = ''): Promise<OpfsEntry[]> {
  const names = path === '' ? [] : namesOf(parsePath(path, 'The directory'))
  return translated(path || 'the root', () => entriesOf(names))
}

async function entriesOf(names: readonly string[]): Promise<OpfsEntry[]> {
  const entries: OpfsEntry[] = []
  for await (const entry of (await directory(names)).values()) {
    const { name, kind } = entry
    const file = kind === 'file' ? await (entry as FileSystemFileHandle).getFile() : undefined
    const modified = file && new Date(file.lastModified)
    entries.push({ name, path: [...names, name].join('/'), kind, size: file?.size ?? 0, modified })
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** See {@link Opfs.file}. */
export async function file(path: string): Promise<File> {
  const found = parsePath(path, 'The path')
  return translated(path, async () => (await fileAt(found)).getFile())
}

/** See {@link Opfs.delete}. */
export async function remove(path: string): Promise<void> {
  const { directories, name } = parsePath(path, 'The path')
  await translated(path, async () => (await directory(directories)).removeEntry(name, { recursive: true }))
}

/** See {@link Opfs.rename}. */
export async function rename(from: string, to: string): Promise<void> {
  const source = parsePath(from, 'The old path')
  const target = parsePath(to, 'The new path')
  await mustNotBe(target)
  await move(source, target)
}

/** Gives a file the path of another one, which it replaces. */
export function replace(from: string, to: string): Promise<void> {
  return move(parsePath(from, 'The new file'), parsePath(to, 'The old file'))
}

/** See {@link Opfs.export}. */
export async function exportFile(
  path: string,
  to: WritableStream<Uint8Array>,
  options: LongOptions = {},
): Promise<void> {
  const { signal, onProgress } = watchIn(options)
  if (!(to instanceof WritableStream)) throw invalidArgument(`to must be a WritableStream; it is ${show(to)}.`)
  const source = await file(path)
  await source
    .stream()
    .pipeThrough(counting(source.size, onProgress))
    .pipeTo(to, signal ? { signal } : {})
}

/** Passes chunks on, and reports how many bytes they were. */
function counting(
  total: number,
  onProgress: LongOptions['onProgress'],
): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let done = 0
  return new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(chunk)
      done += chunk.length
      onProgress?.({ done, total: Math.max(total, done) })
    },
  })
}

/** See {@link Opfs.import}. */
export async function importFile(
  path: string,
  from: Blob | ReadableStream<Uint8Array>,
  options: OpfsImportOptions = {},
): Promise<void> {
  const target = parsePath(path, 'The path')
  const watch = watchIn(options)
  if (!(from instanceof Blob || from instanceof ReadableStream))
    throw invalidArgument(`from must be a Blob or a ReadableStream; it is ${show(from)}.`)
  if (!flag(options.overwrite, 'overwrite')) await mustNotBe(target)
  // Under another name until it is whole.
  const part = { ...target, name: `${target.name}.part` }
  try {
    await copy(from, part, watch)
    await move(part, target)
  } catch (error) {
    await remove(namesOf(part).join('/')).catch(() => {})
    throw error
  }
}

async function copy(
  from: Blob | ReadableStream<Uint8Array>,
  to: OpfsPath,
  { signal = new AbortController().signal, onProgress }: LongOptions,
): Promise<void> {
  signal.throwIfAborted()
  const [source, total] = from instanceof Blob ? [from.stream(), from.size] : [from, 0]
  const lock = claiming(to)
  if (mustReplace()) {
    const counted = source.pipeThrough(counting(total, onProgress))
    return translated(namesOf(to).join('/'), () => replaceWith(to, counted, lock, signal))
  }
  const Storage = hasAccessHandles() ? OpfsFile : RemoteOpfsFile
  const storage = new Storage(to, { create: true }, lock)
  await translated(namesOf(to).join('/'), () => storage.open({ signal, writable: true }))
  try {
    await (storage instanceof OpfsFile ? storage.truncateSync(0) : storage.truncate(0))
    let done = 0
    const write = async (bytes: Uint8Array<ArrayBuffer>) => {
      // Before it is written: the array is the storage's from then on.
      const end = done + bytes.length
      await (storage instanceof OpfsFile ? storage.writeSync(done, bytes) : storage.write(done, bytes, { signal }))
      done = end
      onProgress?.({ done, total: Math.max(total, done) })
    }
    // The chunks are the stream's, which is through with them.
    await source.pipeTo(new WritableStream({ write: (chunk) => write(chunk.slice()) }), { signal })
    await (storage instanceof OpfsFile ? storage.flushSync() : storage.flush())
  } finally {
    await storage.close()
  }
}

async function move(from: OpfsPath, to: OpfsPath): Promise<void> {
  await translated(namesOf(from).join('/'), async () => {
    const source = (await fileAt(from)) as FileSystemFileHandle & Movable
    await source.move(await directory(to.directories, true), to.name)
  })
}

async function mustNotBe(path: OpfsPath): Promise<void> {
  const there = await fileAt(path).catch(() => undefined)
  if (there) throw new Qcow2Error('STORAGE', `There is a file ${namesOf(path).join('/')} already.`)
}

function namesOf({ directories, name }: OpfsPath): string[] {
  return [...directories, name]
}

/** Every browser with access handles has it, but TypeScript doesn't know it. */
interface Movable {
  move(directory: FileSystemDirectoryHandle, name: string): Promise<void>
}
