import type { HostStorage } from './host-storage.js'
import type { WasmImage } from './wasm.js'

/** Reads that go past the memory of WebAssembly: from a synchronous storage straight into the caller's array. */
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
    const data = this.#data
    if (!data.sync) return false
    const place = this.#image.held_place(offset, into.length)
    if (place < 0) return false
    try {
      // At once: the place is the range's as long as nothing else is asked of the image.
      data.readSync(place, into)
      return true
    } catch {
      // The engine asks for the same, and says what is wrong in its words.
      return false
    }
  }
}
