import type { OpfsFileOptions } from '../storage/opfs-file.js'
import type { OpfsPath } from '../storage/opfs-path.js'

/** What a page may ask of the worker. Storages are numbered by the page; bytes are transferred, never copied. */
export interface Methods {
  /** Opens a file of the origin-private file system. */
  open(storage: number, path: OpfsPath, options: OpfsFileOptions): Promise<void>
  size(storage: number): number
  read(storage: number, offset: number, length: number): Uint8Array<ArrayBuffer>
  write(storage: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void
  truncate(storage: number, size: number): void
  flush(storage: number): void
  close(storage: number): Promise<void>
}

/** The first message to the worker: it holds a Web Lock of this name for as long as it lives. */
export interface Hello {
  readonly alive: string
}

/** A call of one of the methods. */
export interface Call {
  readonly id: number
  readonly method: keyof Methods
  readonly args: readonly unknown[]
}

/** What the worker says: that it holds its lock, or what a call has come to. */
export type Reply =
  | { readonly ready: true }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: unknown }
