import type { CreateOptions } from '../create.js'
import { Qcow2Error } from '../errors.js'
import type { Walk } from '../handle.js'
import type { LocalHandle } from '../local-handle.js'
import { createHere, openHere } from '../opening.js'
import type { OpenOptions } from '../options.js'
import { onFileHere } from '../standalone.js'
import type { Storage, WritableStorage } from '../storage/types.js'
import { init } from '../wasm.js'
import type { LongOptions } from '../watch.js'
import { Borrowed } from './borrowed.js'
import type { Packed } from './packing.js'
import { moved, type Port, type Served } from './port.js'
import type { Facts, ImageMethods, PageMethods } from './protocol.js'

/** The worker's images: each method drives a handle as the face does where the engine runs beside it. */
export function imageMethods(page: Port<PageMethods>): Served<ImageMethods> {
  const borrowed = new Borrowed(page)
  const images = new Numbered<{ readonly handle: LocalHandle; readonly numbers: readonly number[] }>()
  const walks = new Numbered<Walk>()

  /** Opens an image with `open`, over what is unpacked for as long as it is open. */
  const keep = async <S, O extends object>(
    image: number,
    open: (storage: S, options: O) => Promise<LocalHandle>,
    storage: Packed,
    options: Packed,
    watch: LongOptions,
  ): Promise<Facts> => {
    const numbers: number[] = []
    try {
      const unpacked = borrowed.unpack([storage, options], numbers) as [S, O]
      const handle = await open(unpacked[0], { ...unpacked[1], ...watch })
      images.set(image, { handle, numbers })
      return factsOf(handle)
    } catch (error) {
      borrowed.forget(numbers)
      throw error
    }
  }

  return {
    load: (module) => init({ module_or_path: module }),
    openImage: (image, storage, options, watch) => keep<Storage, OpenOptions>(image, openHere, storage, options, watch),
    createImage: (image, storage, options, watch) =>
      keep<WritableStorage, CreateOptions>(image, createHere, storage, options, watch),
    async openSnapshot(image, snapshot, idOrName) {
      const handle = await images.get(image).handle.openSnapshot(idOrName)
      images.set(snapshot, { handle, numbers: [] })
      return factsOf(handle)
    },
    facts: (image) => factsOf(images.get(image).handle),
    run: (image, method, args, watch) => images.get(image).handle.run(method, args, watch),
    change: (image, method, args, watch) => images.get(image).handle.change(method, args, watch),
    async readImage(image, what, offset, target, { signal }) {
      const into = new Uint8Array(target as ArrayBuffer)
      await images.get(image).handle.read(what, offset, into, signal)
      return moved(into)
    },
    async giveOfImage(image, offset, length, { signal }) {
      return moved((await images.get(image).handle.give(offset, length, signal)) as Uint8Array<ArrayBuffer>)
    },
    writeImage: (image, how, offset, bytes, { signal }) => images.get(image).handle.write(how, offset, bytes, signal),
    beginWalk(image, walk, method, args) {
      walks.set(walk, images.get(image).handle.walk(method, ...args))
    },
    async continueWalk(walk, limit, { signal }) {
      return moved(await walks.get(walk).next(limit, signal))
    },
    endWalk: (walk) => walks.take(walk)?.free(),
    async closeImage(image) {
      const closing = images.take(image)
      try {
        await closing?.handle.close()
      } finally {
        borrowed.forget(closing?.numbers ?? [])
      }
    },
    async runOnFile(storage, use, method, args, watch) {
      const numbers: number[] = []
      try {
        return await onFileHere(borrowed.unpack(storage, numbers) as Storage, use, method, args, watch)
      } finally {
        borrowed.forget(numbers)
      }
    },
    abort: (signal, reason) => borrowed.abort(signal, reason),
  }
}

/** What the page has numbered. */
class Numbered<T> {
  readonly #all = new Map<number, T>()

  get(number: number): T {
    const found = this.#all.get(number)
    if (found) return found
    throw new Qcow2Error('CLOSED', 'The image is closed.')
  }

  set(number: number, value: T): void {
    this.#all.set(number, value)
  }

  /** What was there, which is gone afterwards. */
  take(number: number): T | undefined {
    const found = this.#all.get(number)
    this.#all.delete(number)
    return found
  }
}

function factsOf({ writable, gives, vmStateSize, size, snapshots }: LocalHandle): Facts {
  return { writable, gives, vmStateSize, size, snapshots }
}
