/** Which files differ between two states of a disk, by what the file systems record of them. */

import type { DiffExtent } from 'qcow2-web'
import type { FileEntry, FilePath, Volume } from 'qcow2-web/files'
import { whyNoFiles } from '../files/words'
import type { DiskFiles } from './files'
import type { ChangesSummary, FileChange, FileState, OnChanges, Watch } from './protocol'
import { below } from './walk'

/** Directories deeper than this are not entered: a corrupt file system can contain itself. */
const DEEPEST = 200
/** Files that are larger are not read: they count as changed where their times differ. */
const LARGEST_READ = 64 * 1024 * 1024
const CHUNK = 1024 * 1024
/** How many changes are sent together. */
const BATCH = 200

type Options = Watch & { onChanges: OnChanges }

/**
 * Compares the volumes that both states have. One that has none of the `extents`, which are all that may differ between the
 * disks, is the same and is not read.
 */
export async function fileChanges(
  before: DiskFiles,
  after: DiskFiles,
  extents: readonly DiffExtent[],
  options: Options,
): Promise<ChangesSummary> {
  const [old, now] = await Promise.all([before.all(options.signal), after.all(options.signal)])
  const summary: ChangesSummary = { compared: 0, notes: [], unreadable: 0 }
  const ids = new Set([...old, ...now].map(({ id }) => id))
  for (const id of ids) {
    const [one, other] = [old, now].map((volumes) => volumes.find((volume) => volume.id === id))
    if (!one || !other) {
      summary.notes.push(`The volume ${id} is ${one ? 'gone' : 'new'}.`)
      continue
    }
    if (!mayDiffer(one, other, extents)) continue
    if (whyNoFiles(one) !== null || whyNoFiles(other) !== null) {
      if (!other.container && other.type !== 'unknown') {
        summary.notes.push(`The volume ${id} (${other.title}) has changed, and its files cannot be read here.`)
      }
      continue
    }
    await new Comparison(one, other, summary, options).run()
  }
  return summary
}

function mayDiffer(one: Volume, other: Volume, extents: readonly DiffExtent[]): boolean {
  if (one.offset !== other.offset || one.length !== other.length || one.type !== other.type) return true
  const { offset, length } = other
  if (offset === undefined) return true
  return extents.some((extent) => extent.start < offset + length && extent.start + extent.length > offset)
}

class Comparison {
  private changes: FileChange[] = []

  constructor(
    private readonly before: Volume,
    private readonly after: Volume,
    private readonly summary: ChangesSummary,
    private readonly options: Options,
  ) {}

  async run(): Promise<void> {
    await this.directory('/', 0)
    await this.send()
  }

  private async directory(path: FilePath, depth: number): Promise<void> {
    const [old, now] = await Promise.all([this.list(this.before, path, depth), this.list(this.after, path, depth)])
    if (!old || !now) return
    for (const [name, entry] of now) {
      const was = old.get(name)
      old.delete(name)
      this.summary.compared += 1
      if (!was) await this.whole('added', this.after, entry)
      else if (was.kind !== entry.kind) {
        await this.whole('removed', this.before, was)
        await this.whole('added', this.after, entry)
      } else {
        const what = await this.difference(was, entry)
        if (what) await this.add({ kind: 'changed', what, ...common(entry, this.after), ...states(was, entry) })
        if (entry.kind === 'directory' && depth < DEEPEST) await this.directory(entry.path, depth + 1)
      }
    }
    for (const entry of old.values()) await this.whole('removed', this.before, entry)
    this.options.onProgress({ done: this.summary.compared, total: 0 })
  }

  /** Returns what differs in an entry that both states have; for a directory only in its own attributes. */
  private async difference(was: FileEntry, now: FileEntry): Promise<FileChange['what'] | null> {
    const attributes = (['mode', 'uid', 'gid', 'attributes'] as const).some((key) => was[key] !== now[key])
    if (now.kind === 'directory') return attributes ? 'metadata' : null
    if (was.size !== now.size) return 'content'
    const times = (['modified', 'changed', 'inode'] as const).some((key) => was[key] !== now[key])
    if (!times) return attributes ? 'metadata' : null
    if (now.kind === 'link') return (await this.sameTarget(now.path)) ? 'metadata' : 'content'
    if (now.kind !== 'file' || was.problem || now.problem) return 'content'
    return (await this.sameContent(now)) ? 'metadata' : 'content'
  }

  private async sameTarget(path: FilePath): Promise<boolean> {
    const { signal } = this.options
    const [was, now] = await Promise.all([this.before, this.after].map((volume) => volume.readLink(path, { signal })))
    return was === now
  }

  /** Returns whether files of the same size have the same bytes. False if they are too large, or cannot be read. */
  private async sameContent({ path, size }: FileEntry): Promise<boolean> {
    if (size > LARGEST_READ) return false
    const { signal } = this.options
    try {
      for (let at = 0; at < size; at += CHUNK) {
        const read = (volume: Volume) => volume.read(path, at, CHUNK, { signal })
        const [was, now] = await Promise.all([read(this.before), read(this.after)])
        if (was.length !== now.length || was.some((byte, index) => byte !== now[index])) return false
      }
      return true
    } catch {
      signal.throwIfAborted()
      return false
    }
  }

  /** An entry that only one state has, with all that is below it. */
  private async whole(kind: 'added' | 'removed', volume: Volume, entry: FileEntry): Promise<void> {
    const only = (each: FileEntry): FileChange => ({
      kind,
      what: 'content',
      ...common(each, volume),
      ...(kind === 'added' ? states(undefined, each) : states(each, undefined)),
    })
    await this.add(only(entry))
    if (entry.kind !== 'directory' || entry.problem) return
    const { signal } = this.options
    const onUnreadable = () => {
      this.summary.unreadable += 1
    }
    try {
      for await (const each of below(volume, entry.path, { signal, onUnreadable })) {
        this.summary.compared += 1
        await this.add(only(each))
      }
    } catch {
      signal.throwIfAborted()
      onUnreadable()
    }
  }

  /** The entries of a directory by their names; `null` if it cannot be read. */
  private async list(volume: Volume, path: FilePath, depth: number): Promise<Map<string, FileEntry> | null> {
    const { signal } = this.options
    const entries = new Map<string, FileEntry>()
    try {
      for await (const entry of volume.list(path, { signal })) entries.set(String(entry.nameBytes ?? entry.name), entry)
      return entries
    } catch (error) {
      if (signal.aborted || depth === 0) throw error
      this.summary.unreadable += 1
      return null
    }
  }

  private async add(change: FileChange): Promise<void> {
    this.changes.push(change)
    if (this.changes.length >= BATCH) await this.send()
  }

  private async send(): Promise<void> {
    const { changes } = this
    this.changes = []
    if (changes.length > 0) await this.options.onChanges(changes)
  }
}

const common = ({ path, kind, inode }: FileEntry, volume: Volume) => ({
  volume: volume.id,
  path,
  isDirectory: kind === 'directory',
  inode,
})

const states = (before: FileEntry | undefined, after: FileEntry | undefined) => ({
  ...(before && { before: stateOf(before) }),
  ...(after && { after: stateOf(after) }),
})

const stateOf = ({ size, modified }: FileEntry): FileState => ({ size, modified })
