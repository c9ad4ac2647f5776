import { FilesError, fromModule } from './errors.js'
import { instantiateFat, WasmFat } from './fat/module.js'
import { type Unlocked, unlock } from './luks/container.js'
import { sectors } from './luks/crypto.js'
import { WasmFiles, type WasmVolume } from './module.js'

/** A call of the module: of the disk, or of the volume that is open. */
export type Call =
  | { readonly method: 'scan'; readonly args: readonly [] }
  | { readonly method: 'open'; readonly args: readonly [id: string] }
  | { readonly method: 'unlock'; readonly args: readonly [id: string, passphrase: Uint8Array] }
  | { readonly method: 'use'; readonly args: readonly [container: Unlocked] }
  | { readonly method: 'stat'; readonly args: readonly [path: Uint8Array, follow: boolean] }
  | { readonly method: 'list'; readonly args: readonly [path: Uint8Array] }
  | { readonly method: 'next'; readonly args: readonly [listing: number, count: number] }
  | { readonly method: 'end'; readonly args: readonly [listing: number] }
  | { readonly method: 'read'; readonly args: readonly [path: Uint8Array, offset: number, length: number] }
  | { readonly method: 'extents'; readonly args: readonly [path: Uint8Array, offset: number, length: number] }
  | { readonly method: 'readLink'; readonly args: readonly [path: Uint8Array] }
  | { readonly method: 'facts'; readonly args: readonly [] }
  | {
      readonly method: 'write'
      readonly args: readonly [module: WebAssembly.Module, offset: number, length: number]
    }
  | {
      readonly method: 'plan'
      readonly args: readonly [change: string, path: Uint8Array, size: number, seconds: number]
    }
  | { readonly method: 'changed'; readonly args: readonly [ranges: readonly (readonly [number, number])[]] }
  | { readonly method: 'statistics'; readonly args: readonly [] }

/** The bytes of the disk that a call needed. */
export interface Provided {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** What a call came to: a value, or the bytes that it needs before it can be made again. */
export type Answer = { readonly value: unknown } | Missing

/** A part of a file: bytes of the disk, bytes that the parser has read, or zeros if it has neither. */
export interface FileExtent {
  readonly length: number
  /** Where it is on the disk. */
  readonly offset?: number
  readonly bytes?: Uint8Array
}

/** The bytes that a call needs. */
interface Missing {
  readonly need: readonly [offset: number, length: number]
}

/** The module over one disk, with at most one volume open. Lives in a worker, or in this thread. */
export class Parser {
  readonly #files: WasmFiles
  #volume: WasmVolume | undefined
  /** The volume as it is changed. */
  #fat: WasmFat | undefined

  constructor(
    readonly size: number,
    readonly readSync?: (offset: number, into: Uint8Array) => boolean,
  ) {
    this.#files = new WasmFiles(size, readSync)
  }

  /**
   * Makes a call, with what it needed before.
   *
   * @throws {@link FilesError} for what cannot succeed.
   */
  call({ method, args }: Call, provided?: Provided): Answer {
    try {
      const reader = method === 'plan' ? (this.#fat as WasmFat) : this.#files
      if (provided) reader.provide(provided.offset, provided.bytes)
      if (method === 'scan') return this.#files.scan()
      if (method === 'statistics') return { value: this.#files.statistics() }
      if (method === 'open') {
        const answer = this.#files.open(...args)
        if (!('value' in answer)) return answer
        this.#volume?.free()
        this.#volume = answer.value
        return { value: undefined }
      }
      if (method === 'unlock') return this.#unlock(...args)
      if (method === 'use') return { value: this.#use(...args) }
      const volume = this.#volume as WasmVolume
      if (method === 'end') return { value: volume.end(...args) }
      if (method === 'write') return { value: this.#write(...args) }
      if (method === 'plan') return (this.#fat as WasmFat).plan(...args)
      if (method === 'changed') return { value: this.#changed(volume, ...args) }
      return (volume[method] as (...all: typeof args) => Answer)(...args)
    } catch (thrown) {
      throw thrown instanceof FilesError ? thrown : fromModule(thrown)
    }
  }

  /** Finds the key of a container. What the module for LUKS computes is computed once, for all is read before. */
  #unlock(id: string, passphrase: Uint8Array): Answer {
    let missing: Missing | undefined
    const read = (offset: number, length: number) => {
      const answer: Answer = this.#files.raw(id, offset, length)
      if ('value' in answer) return answer.value as Uint8Array
      missing = answer
      throw missing
    }
    try {
      return { value: unlock(id, read, passphrase) }
    } catch (thrown) {
      if (missing && thrown === missing) return missing
      throw thrown
    }
  }

  /** Prepares to change the volume, which is a range of the disk. */
  #write(module: WebAssembly.Module, offset: number, length: number): void {
    if (this.#fat) return
    instantiateFat(module)
    this.#fat = new WasmFat(this.size, offset, length, this.readSync)
  }

  #changed(volume: WasmVolume, ranges: readonly (readonly [number, number])[]): void {
    for (const [offset, length] of ranges) {
      this.#files.forget(offset, length)
      this.#fat?.forget(offset, length)
    }
    volume.changed()
  }

  /** Decrypts a container from now on. */
  #use({ id, offset, size, firstSector, encryption, key, sectorSize }: Unlocked): void {
    const cipher = sectors(encryption, key, sectorSize)
    this.#files.unlock(id, offset, size, firstSector, (first: number, bytes: Uint8Array) =>
      cipher.decrypt(first, bytes),
    )
  }
}
