/** Undoing changes of files: each change records the bytes that it overwrites. */

import type { FilesDisk } from 'qcow2-web/files'

/** A range that a change has overwritten, of which a range of zeros keeps only its length; or a barrier between writes. */
type Entry = { offset: number; before: Uint8Array | number } | 'flush'

/** How many bytes that are not zeros one change may overwrite and still be undone. They are in memory. */
const MOST_KEPT = 256 * 2 ** 20

type Writable = FilesDisk & Required<Pick<FilesDisk, 'write' | 'flush'>>

/** A disk on which changes of files can be undone, the last one first. */
export class UndoableDisk implements FilesDisk {
  private readonly changes: Entry[][] = []
  /** What the change that runs has overwritten; `null` where that cannot be undone. */
  private current: Entry[] | null = null
  private kept = 0

  constructor(private readonly disk: Writable) {}

  get size(): number {
    return this.disk.size
  }

  get sync(): boolean {
    return this.disk.sync ?? false
  }

  get readOnly(): boolean {
    return this.disk.readOnly ?? false
  }

  read(...args: Parameters<FilesDisk['read']>): Promise<Uint8Array> {
    return this.disk.read(...args)
  }

  readSync(offset: number, length: number): Uint8Array {
    if (!this.disk.readSync) throw new Error('The disk is not synchronous.')
    return this.disk.readSync(offset, length)
  }

  async write(offset: number, bytes: Uint8Array, options?: { signal?: AbortSignal | undefined }): Promise<void> {
    if (this.current) {
      const before = await this.disk.read(offset, bytes.length, options)
      this.record(offset, before)
    }
    await this.disk.write(offset, bytes, options)
  }

  async flush(): Promise<void> {
    this.current?.push('flush')
    await this.disk.flush()
  }

  /**
   * Carries out a change of files. One that fails or is cancelled is undone. Returns false if it overwrote so much that neither it
   * nor an earlier one can be undone.
   */
  async change(run: () => Promise<void>): Promise<boolean> {
    this.current = []
    this.kept = 0
    try {
      await run()
      if (!this.current) return false
      this.changes.push(this.current)
      return true
    } catch (error) {
      const begun = this.current ?? []
      this.current = null
      await this.restore(begun)
      throw error
    } finally {
      this.current = null
    }
  }

  /** Undoes the last change. */
  async undo(): Promise<void> {
    const last = this.changes.at(-1)
    if (!last) throw new Error('No change of files can be undone.')
    await this.restore(last)
    this.changes.pop()
  }

  /** Forgets the changes: the disk has become another one. */
  forget(): void {
    this.changes.length = 0
  }

  private record(offset: number, before: Uint8Array): void {
    const isZero = before.every((byte) => byte === 0)
    if (!isZero) this.kept += before.length
    if (this.kept <= MOST_KEPT) this.current?.push({ offset, before: isZero ? before.length : before })
    else {
      this.current = null
      this.forget()
    }
  }

  /** Writes backwards, so that the file system passes through the states that it had while it was changed. */
  private async restore(change: readonly Entry[]): Promise<void> {
    for (const entry of change.toReversed()) {
      if (entry === 'flush') await this.disk.flush()
      else {
        const { offset, before } = entry
        await this.disk.write(offset, typeof before === 'number' ? new Uint8Array(before) : before)
      }
    }
    if (change.length > 0) await this.disk.flush()
  }
}
