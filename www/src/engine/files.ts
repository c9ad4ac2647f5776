/** The files on one disk. The module that reads file systems is loaded with the first call. */

import type { FileEntry, FilePath, FilesDisk, Volume, VolumeInfo } from 'qcow2-web/files'
import { fits } from '../files/pattern'
import { keptBlob } from './kept-blob'
import type { Extracted, OnEntries, VolumeList, Watch } from './protocol'
import { below } from './walk'

/** Milliseconds until entries that were found are sent. Each wait is twice as long, for the page sorts all entries anew. */
const SEND_FIRST = 60

/** How many entries a search finds at most. */
const MOST_FOUND = 20_000

interface Scan {
  volumes: Volume[]
  problems: string[]
  /** The ids of the containers that were unlocked. */
  unlocked: Set<string>
}

export class DiskFiles {
  private scan: Promise<Scan> | null = null
  private closed = false

  constructor(private readonly disk: FilesDisk) {}

  async list(signal: AbortSignal): Promise<VolumeList> {
    const { volumes, problems, unlocked } = await this.scanned(signal)
    return { volumes: volumes.map((volume) => ({ ...volume }) as VolumeInfo), problems, unlocked: [...unlocked] }
  }

  /** Unlocks a container. Returns the ids of the volumes in it, which are listed after it from then on. */
  async unlock(id: string, passphrase: string, signal: AbortSignal): Promise<string[]> {
    const scan = await this.scanned()
    const container = await this.volume(id)
    const found = await container.unlock(passphrase, { signal }).catch(advise)
    const ids = found.map((volume) => volume.id)
    // A logical volume may have been listed before, without its devices in the container.
    const others = scan.volumes.filter((volume) => !ids.includes(volume.id))
    for (const volume of scan.volumes) if (ids.includes(volume.id)) volume.close()
    others.splice(others.findIndex((volume) => volume.id === id) + 1, 0, ...found)
    scan.volumes = others
    scan.unlocked.add(id)
    return ids
  }

  /** Opens a volume anew, whose bytes were written by another way than through it. */
  async reopen(id: string): Promise<void> {
    const scan = await this.scanned()
    const { volumes } = await import('qcow2-web/files')
    for (const now of await volumes(this.disk)) {
      const before = scan.volumes.find((volume) => volume.id === now.id)
      if (now.id !== id || !before) now.close()
      else {
        scan.volumes = scan.volumes.map((volume) => (volume === before ? now : volume))
        before.close()
      }
    }
  }

  /** All volumes. */
  async all(signal: AbortSignal): Promise<readonly Volume[]> {
    return (await this.scanned(signal)).volumes
  }

  async volume(id: string): Promise<Volume> {
    const volume = (await this.scanned()).volumes.find((candidate) => candidate.id === id)
    if (!volume) throw new Error(`The disk has no volume ${id}.`)
    return volume
  }

  /** Sends the entries of a directory. */
  async entries(id: string, path: FilePath, signal: AbortSignal, onEntries: OnEntries): Promise<void> {
    await send((await this.volume(id)).list(path, { signal }), onEntries)
  }

  /** Sends the entries below `path` whose names fit. Returns how many directories could not be read. */
  async find(id: string, path: FilePath, pattern: string, signal: AbortSignal, onEntries: OnEntries): Promise<number> {
    const volume = await this.volume(id)
    const isWanted = fits(pattern)
    let unreadable = 0
    const onUnreadable = () => {
      unreadable += 1
    }
    async function* found() {
      let count = 0
      for await (const entry of below(volume, path, { signal, onUnreadable })) {
        if (!isWanted(entry.name)) continue
        yield entry
        count += 1
        if (count === MOST_FOUND) return
      }
    }
    await send(found(), onEntries)
    return unreadable
  }

  async extract(id: string, path: FilePath, watch: Watch): Promise<Extracted> {
    const volume = await this.volume(id)
    const bytes = await volume.readable(path, watch)
    return { blob: await keptBlob(bytes as ReadableStream<Uint8Array<ArrayBuffer>>, watch.signal), skipped: [] }
  }

  /** Makes a zip archive. The sizes are added up before, so that the progress has an end. */
  async zip(id: string, paths: FilePath[], { signal, onProgress }: Watch): Promise<Extracted> {
    const volume = await this.volume(id)
    const total = await totalSize(volume, paths, signal)
    const skipped: string[] = []
    const archive = await volume.zip(paths, {
      signal,
      onProgress: ({ done }) => onProgress({ done, total: Math.max(done, total) }),
      onSkip: (path, reason) => skipped.push(`${words(path)}: ${reason}`),
    })
    return { blob: await keptBlob(archive as ReadableStream<Uint8Array<ArrayBuffer>>, signal), skipped }
  }

  /** Ends the workers of the volumes. */
  close(): void {
    this.closed = true
    void this.scan?.then(closeAll, () => {})
  }

  private scanned(signal?: AbortSignal): Promise<Scan> {
    this.scan ??= this.findVolumes()
    const scan = this.scan
    scan.catch(() => {
      if (this.scan === scan) this.scan = null
    })
    // Other calls may wait for the same scan, so cancelling one of them does not end it.
    return signal ? unlessAborted(scan, signal) : scan
  }

  private async findVolumes(): Promise<Scan> {
    const { volumes } = await import('qcow2-web/files')
    const problems: string[] = []
    const found = await volumes(this.disk, { onProblem: (problem) => problems.push(problem) })
    const scan = { volumes: found, problems, unlocked: new Set<string>() }
    if (this.closed) closeAll(scan)
    return scan
  }
}

/** What to do about an error, by its code. The code does not reach the page. */
const ADVICE: Record<string, string> = {
  WRONG_PASSPHRASE: 'Type it again, with the same capitals.',
  NO_SPACE: 'Delete files that are no longer needed, or add smaller ones.',
  LIMIT: 'This browser does not have the memory that the container demands. Unlock it on a computer with cryptsetup.',
}

/** Throws an error with what to do about it. */
export function advise(error: unknown): never {
  const code = (error as { code?: string } | null)?.code
  const advice = code === undefined ? undefined : ADVICE[code]
  throw advice && error instanceof Error ? new Error(`${error.message} ${advice}`, { cause: error }) : error
}

function closeAll({ volumes }: Scan): void {
  for (const volume of volumes) volume.close()
}

async function send(entries: AsyncIterable<FileEntry>, onEntries: OnEntries): Promise<void> {
  let batch: FileEntry[] = []
  let wait = SEND_FIRST
  let sent = performance.now()
  for await (const entry of entries) {
    batch.push(entry)
    if (performance.now() - sent < wait) continue
    await onEntries(batch)
    batch = []
    wait *= 2
    sent = performance.now()
  }
  if (batch.length > 0) await onEntries(batch)
}

async function totalSize(volume: Volume, paths: FilePath[], signal: AbortSignal): Promise<number> {
  let total = 0
  for (const path of paths) {
    const { kind, size } = await volume.stat(path, { signal, follow: false })
    if (kind === 'file') total += size
    if (kind !== 'directory') continue
    for await (const entry of below(volume, path, { signal })) if (entry.kind === 'file') total += entry.size
  }
  return total
}

const words = (path: FilePath): string => (typeof path === 'string' ? path : new TextDecoder().decode(path))

function unlessAborted<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    result.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
