import { configure } from '../base/configuration.js'
import { Qcow2Error } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { Run, Storage, WritableStorage } from '../base/storage/contract.js'
import type { Walk } from '../engine/handle.js'
import type { LocalHandle } from '../engine/local-handle.js'
import { createHere, openHere } from '../engine/open.js'
import type { CreateOptions } from '../engine/options/create.js'
import type { OpenOptions } from '../engine/options/open.js'
import { runOnFileHere } from '../engine/run-on-file.js'
import type { EngineName, Facts, ImageMethods } from './protocol.js'
import { Proxies } from './proxies.js'
import type { PageMethods } from './rpc/client.js'
import { moved, type Port, type Served } from './rpc/port.js'
import type { Encoded } from './tokens.js'

/** The worker's images: each method drives a handle as the face does where the engine runs beside it. */
export function imageMethods(page: Port<PageMethods>): Served<ImageMethods> {
  const proxies = new Proxies(page)
  const images = new Numbered<OpenImage>()
  const walks = new Numbered<Walk>()
  const runs = new Numbered<OpenRun>()

  /** Opens an image with `open`, over what is decoded for as long as it is open. */
  const keep = async <S, O extends object>(
    image: number,
    open: (storage: S, options: O) => Promise<LocalHandle>,
    storage: Encoded,
    options: Encoded,
    watch: LongOptions,
  ): Promise<Facts> => {
    const numbers: number[] = []
    try {
      const decoded = proxies.decode([storage, options], numbers) as [S, O]
      const handle = await open(decoded[0], { ...decoded[1], ...watch })
      images.set(image, { handle, numbers, walks: new Set(), runs: new Set() })
      return factsOf(handle)
    } catch (error) {
      proxies.forget(numbers)
      throw error
    }
  }

  const forgetRun = (image: number, number: number): OpenRun | undefined => {
    images.find(image)?.runs.delete(number)
    return runs.take(number)
  }

  return {
    load(modules, reads) {
      const module = (name: EngineName) => () => page.call('invoke', [modules, [name]]) as Promise<WebAssembly.Module>
      configure({ wasm: module('wasm'), reader: reads ? module('reader') : undefined })
    },
    openImage: (image, storage, options, watch) => keep<Storage, OpenOptions>(image, openHere, storage, options, watch),
    createImage: (image, storage, options, watch) =>
      keep<WritableStorage, CreateOptions>(image, createHere, storage, options, watch),
    async openSnapshot(image, snapshot, idOrName) {
      const handle = await images.get(image).handle.openSnapshot(idOrName)
      images.set(snapshot, { handle, numbers: [], walks: new Set(), runs: new Set() })
      return factsOf(handle)
    },
    allocatedSize: (image) => images.get(image).handle.allocatedSize(),
    statistics: (image) => images.get(image).handle.statistics(),
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
    openRun(image, number, hostOffset, length) {
      const { handle, runs: opened } = images.get(image)
      const run = handle.openRun(hostOffset, length)
      if (!run) return false
      runs.set(number, { run, left: length, image })
      opened.add(number)
      return true
    },
    async readRun(number, length) {
      const open = runs.get(number)
      open.left -= length
      if (open.left <= 0) forgetRun(open.image, number)
      return moved(await open.run.read(length))
    },
    closeRun: (image, number) => forgetRun(image, number)?.run.close(),
    writeImage: (image, how, offset, bytes, { signal }) => images.get(image).handle.write(how, offset, bytes, signal),
    beginWalk(image, walk, method, args) {
      const { handle, walks: begun } = images.get(image)
      walks.set(walk, handle.walk(method, ...args))
      begun.add(walk)
    },
    async continueWalk(walk, limit, { signal }) {
      return moved(await walks.get(walk).next(limit, signal))
    },
    endWalk(image, walk) {
      images.find(image)?.walks.delete(walk)
      walks.take(walk)?.free()
    },
    async closeImage(image) {
      const closing = images.take(image)
      for (const walk of closing?.walks ?? []) walks.take(walk)
      for (const run of closing?.runs ?? []) runs.take(run)?.run.close()
      try {
        await closing?.handle.close()
      } finally {
        proxies.forget(closing?.numbers ?? [])
      }
    },
    async runOnFile(storage, use, method, args, watch) {
      const numbers: number[] = []
      try {
        return await runOnFileHere(proxies.decode(storage, numbers) as Storage, use, method, args, watch)
      } finally {
        proxies.forget(numbers)
      }
    },
    abort: (signal, reason) => proxies.abort(signal, reason),
  }
}

/** An image, or a snapshot, that the page has open. */
interface OpenImage {
  readonly handle: LocalHandle
  /** What to forget when it is closed. */
  readonly numbers: readonly number[]
  /** The numbers of its walks. */
  readonly walks: Set<number>
  /** The numbers of its runs. */
  readonly runs: Set<number>
}

/** A run of an image's file. */
interface OpenRun {
  readonly run: Run
  /** How many bytes were not asked for yet. */
  left: number
  readonly image: number
}

/** What the page has numbered. */
class Numbered<T> {
  readonly #all = new Map<number, T>()

  find(number: number): T | undefined {
    return this.#all.get(number)
  }

  get(number: number): T {
    const found = this.find(number)
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
