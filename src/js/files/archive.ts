import { callback, show, watchIn } from '../base/arguments.js'
import type { LongOptions } from '../base/progress.js'
import { valid } from './arguments.js'
import { FilesError } from './errors.js'
import { type FilePath, lastName, safeName, shownPath, UniqueNames } from './paths.js'
import type { FileEntry, FileTree } from './values.js'
import { type OnSkip, type Walked, walk } from './walk.js'

/** Options of an archive. Progress counts the bytes of the files; the total is that of the files found so far. */
export interface ArchiveOptions extends LongOptions {
  /** Called with each file that is left out, and why, as a sentence. Default: such files are left out silently. */
  readonly onSkip?: OnSkip | undefined
}

/** A member of an archive. */
interface Member extends Walked {
  /** Its path in the archive. */
  readonly path: string
}

/** A zip archive of `paths` and all below them. */
export async function zip(
  volume: FileTree,
  paths: readonly FilePath[],
  options: ArchiveOptions,
): Promise<ReadableStream<Uint8Array>> {
  checkArchive(paths, options)
  const { makeZip } = await import('./generated/archives.js')
  const starts = await startsOf(volume, paths, options)
  const progress = new ArchiveProgress(options)
  async function* members() {
    for await (const { entry, path } of membersOf(volume, starts, options, safeName)) {
      const lastModified = new Date(entry.modified ?? 0)
      if (entry.kind === 'directory') yield { name: `${path}/`, lastModified }
      else if (entry.kind !== 'file') options.onSkip?.(entry.path, 'A zip archive has only files and directories.')
      else {
        const input = await openMember(volume, entry, options, progress)
        if (input) yield { name: path, lastModified, size: entry.size, input }
      }
    }
  }
  return cancellable(makeZip(members()))
}

/** A tar archive of `paths` and all below them. */
export async function tar(
  volume: FileTree,
  paths: readonly FilePath[],
  options: ArchiveOptions,
): Promise<ReadableStream<Uint8Array>> {
  checkArchive(paths, options)
  const { createTarPacker } = await import('./generated/archives.js')
  const starts = await startsOf(volume, paths, options)
  const progress = new ArchiveProgress(options)
  const { readable, controller } = createTarPacker()
  /** Where the first name of a file with several is, by its inode. */
  const firstNames = new Map<string, string>()
  const pack = async () => {
    for await (const { entry, path } of membersOf(volume, starts, options, (name) => name)) {
      const { mode = entry.kind === 'directory' ? 0o755 : 0o644, uid = 0, gid = 0 } = entry
      const header = { name: path, mode, uid, gid, mtime: new Date(entry.modified ?? 0), size: 0 }
      const empty = (more: object) => controller.add({ ...header, ...more }).close()
      if (entry.kind === 'directory') await empty({ name: `${path}/`, type: 'directory' })
      else if (entry.kind === 'link') {
        await empty({ type: 'symlink', linkname: await volume.readLink(entry.path, { signal: options.signal }) })
      } else if (entry.kind !== 'file') options.onSkip?.(entry.path, 'It is a device, a pipe or a socket.')
      else {
        const first = entry.inode === undefined ? undefined : firstNames.get(entry.inode)
        if (first !== undefined) {
          await empty({ type: 'link', linkname: first })
          continue
        }
        const input = await openMember(volume, entry, options, progress)
        if (!input) continue
        await input.pipeTo(controller.add({ ...header, size: entry.size, type: 'file' }))
        if (entry.inode !== undefined && (entry.links ?? 1) > 1) firstNames.set(entry.inode, path)
      }
    }
    controller.finalize()
  }
  pack().catch((error) => controller.error(error))
  return readable
}

/**
 * Streams what `source` has. Cancelling `source` itself rejects with the reason, for the library throws that into its
 * generator; cancelling this stream does not.
 */
function cancellable(source: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = source.getReader()
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) =>
      reader.cancel(reason).catch((error) => {
        if (error !== reason) throw error
      }),
  })
}

function checkArchive(paths: readonly FilePath[], options: ArchiveOptions): void {
  if (!Array.isArray(paths)) throw new FilesError('INVALID', `The paths must be an array; they are ${show(paths)}.`)
  valid(() => {
    watchIn(options)
    callback(options.onSkip, 'onSkip')
  })
}

/** Looks up what an archive begins with, so that a missing path is reported before the stream begins. */
async function startsOf(
  volume: FileTree,
  paths: readonly FilePath[],
  { signal }: ArchiveOptions,
): Promise<FileEntry[]> {
  const starts: FileEntry[] = []
  for (const path of paths) {
    const stat = await volume.stat(path, { signal, follow: false })
    starts.push({ ...stat, path, name: lastName(path) })
  }
  return starts
}

async function* membersOf(
  volume: FileTree,
  starts: readonly FileEntry[],
  { signal, onSkip }: ArchiveOptions,
  safe: (name: string) => string,
): AsyncGenerator<Member> {
  // One set of names for each directory of the archive.
  const directories = new Map<string, UniqueNames>()
  const unique = (directory: string, name: string) => {
    const names = directories.get(directory) ?? new UniqueNames()
    directories.set(directory, names)
    return names.take(name)
  }
  const isSafe = safe === safeName
  for (const start of starts) {
    // The paths of the directories that lead to the entry, which are visited before it.
    const above: string[] = []
    for await (const { entry, names } of walk(volume, start, { signal, onSkip })) {
      const depth = names.length - 1
      const name = names[depth] ?? ''
      above.length = Math.min(above.length, depth)
      const directory = above[depth - 1] ?? ''
      // The root has no name: what is in it comes at the top of the archive.
      if (depth === 0 && !name) {
        above.push('')
        continue
      }
      const own = isSafe ? unique(directory, safe(name)) : safe(name)
      const path = directory ? `${directory}/${own}` : own
      above.push(path)
      yield { entry, names, path }
    }
  }
}

async function openMember(
  volume: FileTree,
  entry: FileEntry,
  { signal, onSkip }: ArchiveOptions,
  progress: ArchiveProgress,
): Promise<ReadableStream<Uint8Array> | undefined> {
  try {
    // A file that cannot be read at all is left out. One that fails later ends the archive, because its header holds the size.
    if (entry.size > 0) await volume.read(entry.path, 0, 1, { signal })
    return await volume.readable(entry.path, { signal, onProgress: progress.file(entry.size) })
  } catch (error) {
    if (!(error instanceof FilesError) || error.code === 'CLOSED') throw error
    onSkip?.(entry.path, `${shownPath(entry.path)}: ${error.message}`)
    return undefined
  }
}

/** Adds the progress of files up. */
class ArchiveProgress {
  readonly #onProgress: LongOptions['onProgress']
  #done = 0
  #total = 0

  constructor({ onProgress }: ArchiveOptions) {
    this.#onProgress = onProgress
  }

  /** What to call with the progress of the next file. */
  file(size: number): LongOptions['onProgress'] {
    const before = this.#done
    this.#done += size
    this.#total += size
    return this.#onProgress && (({ done }) => this.#onProgress?.({ done: before + done, total: this.#total }))
  }
}
