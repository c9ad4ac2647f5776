import { fromModule } from './errors.js'
import { WasmFiles, type WasmVolume } from './module.js'

/** A call of the module: of the disk, or of the volume that is open. */
export type Call =
  | { readonly method: 'scan'; readonly args: readonly [] }
  | { readonly method: 'open'; readonly args: readonly [id: string] }
  | { readonly method: 'stat'; readonly args: readonly [path: Uint8Array, follow: boolean] }
  | { readonly method: 'list'; readonly args: readonly [path: Uint8Array] }
  | { readonly method: 'next'; readonly args: readonly [listing: number, count: number] }
  | { readonly method: 'end'; readonly args: readonly [listing: number] }
  | { readonly method: 'read'; readonly args: readonly [path: Uint8Array, offset: number, length: number] }
  | { readonly method: 'readLink'; readonly args: readonly [path: Uint8Array] }
  | { readonly method: 'facts'; readonly args: readonly [] }
  | { readonly method: 'statistics'; readonly args: readonly [] }

/** The bytes of the disk that a call needed. */
export interface Provided {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** What a call came to: a value, or the bytes that it needs before it can be made again. */
export type Answer = { readonly value: unknown } | { readonly need: readonly [offset: number, length: number] }

/** The module over one disk, with at most one volume open. Lives in a worker, or in this thread. */
export class Parser {
  readonly #files: WasmFiles
  #volume: WasmVolume | undefined

  constructor(size: number, readSync?: (offset: number, into: Uint8Array) => boolean) {
    this.#files = new WasmFiles(size, readSync)
  }

  /**
   * Makes a call, with what it needed before.
   *
   * @throws {@link FilesError} for what cannot succeed.
   */
  call({ method, args }: Call, provided?: Provided): Answer {
    try {
      if (provided) this.#files.provide(provided.offset, provided.bytes)
      if (method === 'scan') return this.#files.scan()
      if (method === 'statistics') return { value: this.#files.statistics() }
      if (method === 'open') {
        const answer = this.#files.open(...args)
        if (!('value' in answer)) return answer
        this.#volume?.free()
        this.#volume = answer.value
        return { value: undefined }
      }
      const volume = this.#volume as WasmVolume
      if (method === 'end') return { value: volume.end(...args) }
      return (volume[method] as (...all: typeof args) => Answer)(...args)
    } catch (thrown) {
      throw fromModule(thrown)
    }
  }
}
