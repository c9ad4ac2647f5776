import type { HostStorage } from './host-storage.js'
import type { WasmImage } from './wasm.js'

/** Reads that go past the memory of WebAssembly: what a storage has at hand, straight into the caller's array. */
export class DirectReads {
  readonly #image: WasmImage
  readonly #data: HostStorage

  /** `data` is the storage that holds the data of `image`: its data file, or its own. */
  constructor(image: WasmImage, data: HostStorage) {
    this.#image = image
    this.#data = data
  }

  /** Fills `into` with what the disk has at `offset`; false if the engine has to read it, and `into` is then anything. */
  read(offset: bigint, into: Uint8Array): boolean {
    if (!this.#data.keeps) return false
    const place = this.#image.held_place(offset, into.length)
    // At once: the place is the range's as long as nothing else is asked of the image.
    return place >= 0 && this.#data.readKept(place, into)
  }
}
