/** An opened image: its files, its open disks, and where its changes go. */

import {
  blob,
  type CheckReport,
  type ClaimOptions,
  check,
  type ImageInfo,
  inspect,
  isQcow2Error,
  Qcow2,
  type RepairReport,
  repair,
} from 'qcow2-web'
import { Disks } from './disks'
import { type FileKind, fileKindOf } from './file-kind'
import { keptBlob } from './kept-blob'
import { openWithFiles } from './opening'
import type {
  Ask,
  ByteSource,
  Failure,
  KeySlotChange,
  NewImage,
  OnProgress,
  OpenedImage,
  OpenHow,
  OpenOutcome,
  RepairHow,
  Watch,
} from './protocol'
import { looksLikeDisk, rawDisk } from './raw'
import { diskBytes, fileBytes, type ReadableBytes } from './readable-bytes'
import { pathOf, readFrom, type Source, type SourceFile, sizeOf, sourceFile } from './source'
import { Supplies } from './supplies'
import { type InMemory, inMemory, inPlace, type Target } from './target'

let generation = 0

export class Session {
  private constructor(
    private readonly supplies: Supplies,
    /** `null` where the file could not be opened as a disk. */
    private open: Disks | null = null,
    /** What takes the changes; `null` where nothing can be changed. */
    private target: Target | null = null,
  ) {}

  static async open(
    source: Source,
    { asRaw, beside }: OpenHow,
    ask: Ask,
    signal: AbortSignal,
  ): Promise<[OpenOutcome, Session | null]> {
    const file = await sourceFile(source)
    const supplies = new Supplies(file, ask, beside)
    if (asRaw) return Session.openRaw(supplies, await fileKindOf(file, signal), signal)
    try {
      const session = new Session(supplies, new Disks(await openWithFiles(supplies, null, signal)))
      return [{ kind: 'opened', image: await session.describe() }, session]
    } catch (error) {
      if (supplies.cancelled || signal.aborted) return [{ kind: 'cancelled' }, null]
      const fileKind = await fileKindOf(file, signal).catch(() => null)
      const isOther = isQcow2Error(error) && error.code === 'NOT_QCOW2'
      if (isOther && (await looksLikeDisk(file, fileKind, signal))) return Session.openRaw(supplies, fileKind, signal)
      const refused: OpenOutcome = {
        kind: 'refused',
        name: file.name,
        size: await sizeOf(file).catch(() => 0),
        url: 'url' in source ? source.url : null,
        stored: pathOf(file),
        failure: failureOf(error),
        inspection: await inspect(file.storage).catch(() => null),
        fileKind,
      }
      return [refused, new Session(supplies)]
    }
  }

  /** Opens the bytes of a file as a disk. */
  private static async openRaw(
    supplies: Supplies,
    fileKind: FileKind | null,
    signal: AbortSignal,
  ): Promise<[OpenOutcome, Session]> {
    const { disk, whole } = await rawDisk(supplies.image, fileKind, signal)
    const { name } = supplies.image
    const { size } = disk
    const kind = fileKind === 'vhd-fixed' ? 'fixed VHD' : 'raw disk'
    const raw = { generation: ++generation, name, size, kind, disk: { snapshot: null, size } }
    return [{ kind: 'raw', raw }, new Session(supplies, new Disks(disk, whole))]
  }

  /** Makes an image in memory, over `base` if there is one, and opens it for editing. */
  static async create({ name, options, base }: NewImage, ask: Ask, signal: AbortSignal): Promise<Session> {
    const { storage } = inMemory(blob(new Blob([])))
    const backing = base && { name: base.name, format: await backingFormat(base) }
    const image = await Qcow2.create(storage, { ...options, ...(backing && { backing }), signal })
    await image.close()
    const supplies = new Supplies(await sourceFile(new File([await storage.blob()], name)), ask)
    if (base) await supplies.give(1, base)
    if (options.encryption) supplies.givePassphrase(0, options.encryption.passphrase)
    const session = new Session(supplies)
    await session.edit(signal)
    return session
  }

  /** What can be looked at. */
  get disks(): Disks {
    if (!this.open) throw new Error('This file could not be opened as a disk.')
    return this.open
  }

  /** True if the image could be opened as a disk. */
  get isOpen(): boolean {
    return this.open !== null
  }

  /** True if its disk can be changed. */
  get isEdited(): boolean {
    return this.target !== null
  }

  /** Opens the image again, so that it can be changed in memory. Rejects if it can't be; it then stays as it was. */
  async edit(signal: AbortSignal): Promise<void> {
    await this.changeTo(inMemory(this.supplies.image.storage), signal)
  }

  /** Opens the image again, so that its file in the browser's storage is changed. Rejects as `edit`. */
  async editInPlace(claim: ClaimOptions, signal: AbortSignal): Promise<void> {
    await this.changeTo(inPlace(this.storedPath(), { ...claim, signal }), signal)
  }

  /**
   * Opens the image for reading only, over its file as it is now. Discards changes in memory; if the file can't be opened, they
   * stay. An image that is changed in place is closed before, so that nothing is open if the file can't be opened.
   */
  async lock(signal?: AbortSignal): Promise<void> {
    if (this.target?.in === 'file') {
      // A write that failed was reported by the flush.
      await this.close().catch(() => {})
      return this.reopen(null, signal)
    }
    const { image } = this.supplies
    await this.renew()
    try {
      await this.changeTo(null, signal)
    } catch (error) {
      this.supplies.image = image
      throw error
    }
  }

  /** Copies what the backing files show into the image, which needs them no longer. */
  async copyUp(signal: AbortSignal, onProgress: OnProgress): Promise<void> {
    await this.disks.active.copyUp({ signal, onProgress })
    this.supplies.forgetBackings()
  }

  async changeKeySlots(change: KeySlotChange, watch: Watch): Promise<void> {
    const { keySlots } = this.disks.active
    if (change.kind === 'erase') return keySlots.delete(change.slot, watch)
    const { kind, known, passphrase } = change
    await keySlots[kind === 'add' ? 'create' : 'change'](known, passphrase, watch)
    // The passphrase that opened the image may be the one that was replaced.
    if (kind === 'change') this.supplies.givePassphrase(0, passphrase)
  }

  /** Checks the image with its changes, also one that can't be opened. */
  async check(watch: Watch): Promise<CheckReport> {
    return this.open ? this.open.active.check(watch) : check(this.target?.storage ?? this.supplies.image.storage, watch)
  }

  /**
   * Repairs the image, also one that can't be opened: where its changes go, if it is edited; with `inFile` in the file itself, and
   * the image is then open for reading only again; else in memory, to be saved. If that fails, the image stays as it was.
   */
  async repair(what: 'leaks' | 'all', { acceptLoss, inFile }: RepairHow, watch: Watch): Promise<RepairReport> {
    const before = this.target
    const target = before ?? (inFile ? inPlace(this.storedPath()) : inMemory(this.supplies.image.storage))
    let after = before
    await this.close()
    try {
      const report = await repair(target.storage, what, { acceptLoss, ...watch })
      if (!inFile) after = target
      return report
    } finally {
      await this.reopen(after)
    }
  }

  /** Returns the image with its changes in memory as a file, and opens the image over it. A failure changes nothing. */
  async save(signal: AbortSignal): Promise<File> {
    const { image } = this.supplies
    const { target } = this
    if (target?.in !== 'memory') throw new Error('There are no changes in memory.')
    await this.disks.active.flush({ signal })
    await this.close()
    let after = target
    try {
      const file = imageFile(image.name, await contents(image.source, target, signal))
      // One that the browser keeps is still where it was.
      const source = 'path' in image.source ? image.source : file
      this.supplies.image = { ...(await sourceFile(file)), source }
      after = inMemory(this.supplies.image.storage)
      return file
    } finally {
      await this.reopen(after)
    }
  }

  /** Returns a copy of the file of an image that is changed in place. Nothing may be changed meanwhile. */
  async copy(signal: AbortSignal, onProgress: OnProgress): Promise<File> {
    const { target } = this
    if (target?.in !== 'file') throw new Error('The image is not changed in its own file.')
    await this.drain(signal)
    const { image } = this.supplies
    const total = await sizeOf(image)
    // Through the open storage of the image, which has the exclusive access to the file.
    const bytes = inMemory(target.storage).storage.stream()
    return imageFile(image.name, await keptBlob(bytes, signal, (done) => onProgress({ done, total })))
  }

  /** Opens the image over `source`, to which it was saved, for changes in memory. */
  async continueOver(source: Source): Promise<void> {
    await this.close()
    this.supplies.image = await sourceFile(source)
    await this.reopen(inMemory(this.supplies.image.storage))
  }

  /** Reads bytes of a disk, or of a file as it is stored. */
  async read(source: ByteSource, offset: bigint, length: number, signal: AbortSignal): Promise<Uint8Array> {
    if (source.of === 'disk') return (await this.disks.disk(source.snapshot)).read(offset, length, { signal })
    return readFrom(this.file(source.key), Number(offset), length, signal)
  }

  /** The bytes of a disk, or of a file as it is stored. */
  async bytes(source: ByteSource): Promise<ReadableBytes> {
    if (source.of === 'disk') return diskBytes(await this.disks.disk(source.snapshot))
    return fileBytes(this.file(source.key))
  }

  private file(key: string): SourceFile {
    const file = this.supplies.file(key)
    if (!file) throw new Error('This file is no longer open.')
    return file
  }

  /** Closes all disks. Changes in place become durable. */
  async close(): Promise<void> {
    await this.open?.close()
  }

  async describe(): Promise<OpenedImage> {
    const { active } = this.disks
    const info = await active.info()
    return {
      generation: ++generation,
      name: this.supplies.image.name,
      stored: pathOf(this.supplies.image),
      info,
      files: await this.supplies.files(),
      snapshots: [...(await active.snapshots.list())],
      disk: { snapshot: null, size: info.virtualSize },
      without: this.supplies.without(),
      editing: this.target?.in ?? null,
      notEditable: notEditable(info),
    }
  }

  /** Opens the image for changes to `target`, if there is one, and closes it as it was open before. */
  private async changeTo(target: Target | null, signal: AbortSignal | undefined): Promise<void> {
    const next = await openWithFiles(this.supplies, target?.storage ?? null, signal)
    const before = this.open
    this.show(target)
    this.open = new Disks(next)
    await before?.close()
  }

  /** Opens again what was closed, for changes to `target`: nothing, if it can't be opened as a disk. */
  private async reopen(target: Target | null, signal?: AbortSignal): Promise<void> {
    if (!target) await this.renew()
    this.show(target)
    const opening = openWithFiles(this.supplies, target?.storage ?? null, signal)
    this.open = await opening.then((image) => new Disks(image)).catch(() => null)
  }

  /** Looks the file in the browser's storage up again: after changes in place the old object can no longer be read. */
  private async renew(): Promise<void> {
    const { source } = this.supplies.image
    if ('path' in source) this.supplies.image = await sourceFile(source)
  }

  /** Flushes until the refcounts are up to date: a flush writes back what the one before freed, and may move the refcount table. */
  private async drain(signal: AbortSignal): Promise<void> {
    for (let flushes = 0; flushes < 3; flushes += 1) await this.disks.active.flush({ signal })
  }

  /** Shows the bytes of the file as they are while it is changed. */
  private show(target: Target | null): void {
    this.target = target
    if (target?.in === 'file') this.supplies.image = { ...this.supplies.image, storage: target.storage }
  }

  private storedPath(): string {
    const path = pathOf(this.supplies.image)
    if (path === null) throw new Error('This image is not kept in the browser.')
    return path
  }
}

/** The image with its changes. One on a server is read whole for that. */
async function contents(source: Source, { storage }: InMemory, signal: AbortSignal): Promise<Blob> {
  return 'url' in source ? keptBlob(storage.stream(), signal) : storage.blob()
}

const imageFile = (name: string, contents: Blob): File =>
  new File([contents], name, { type: 'application/x-qemu-disk' })

async function backingFormat(file: File): Promise<'qcow2' | 'raw'> {
  return (await inspect(blob(file))).format === 'qcow2' ? 'qcow2' : 'raw'
}

function notEditable(info: ImageInfo): string | null {
  if (info.externalDataFile) return 'Its data is in a second file, and this page edits images of one file only.'
  if (info.corrupt) return 'It is marked as corrupt: it has to be repaired before anything is written to it.'
  return null
}

function failureOf(error: unknown): Failure {
  if (!isQcow2Error(error)) return { code: 'FILE', message: error instanceof Error ? error.message : String(error) }
  const { code, reason, offset, depth } = error
  return { code, message: reason, ...(offset !== undefined && { offset }), ...(depth !== undefined && { depth }) }
}
