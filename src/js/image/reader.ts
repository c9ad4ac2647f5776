import { optionsIn, signalIn } from '../base/arguments.js'
import { notInReader } from '../base/not-in-reader.js'
import type { Handle } from '../engine/handle.js'
import { type Modules, openWith } from '../engine/opening.js'
import { withStorages } from '../engine/options/files.js'
import type { OpenOptions } from '../engine/options/open.js'
import { reader } from '../engine/reader.js'
import { type Source, storageFrom } from '../storage/readable-source.js'
import { ImageDisk } from './image-disk.js'
import { SnapshotList } from './snapshot-list.js'

/** How an image is opened by `qcow2-web/read`. */
export interface ReadOptions extends Pick<OpenOptions, 'backing' | 'dataFile' | 'cacheSize' | 'signal'> {}

/**
 * An image that is open for reading, as the disk that a guest sees, with its whole backing chain.
 *
 * It has what the `Qcow2` of `qcow2-web` has for reading, except what needs the whole engine: encrypted images, worker mode, `check`,
 * `diff`, bitmaps and key slots. A method that is missing throws `NOT_IN_READER`.
 *
 * @example
 * ```ts
 * import { http, Qcow2 } from 'qcow2-web/read'
 *
 * const image = await Qcow2.open(http('https://example.org/disk.qcow2'))
 * console.log(await image.info(), image.snapshots.list())
 * console.log(await image.read(0, 512))
 * await image.close()
 * ```
 */
export class Qcow2 extends ImageDisk {
  /** It is never written. */
  readonly readOnly = true
  /** The snapshots of the image. */
  readonly snapshots: SnapshotList

  static {
    const sync = 'writeSync writeZeroesSync discardSync flushSync'
    const writes = `write writeCompressed writeZeroes discard flush resize copyUp empty writable ${sync}`
    const vmState = 'writeVmState readVmState discardVmState'
    lacks(
      this.prototype,
      'Qcow2',
      `${writes} ${vmState} check compact reclaimable diff addEventListener removeEventListener dispatchEvent`,
    )
    lacks(this, 'Qcow2', 'create')
    for (const name of ['bitmaps', 'keySlots']) {
      const get = () => {
        throw notInReader(`Qcow2.${name}`)
      }
      Object.defineProperty(this.prototype, name, { get, configurable: true })
    }
  }

  private constructor(handle: Handle) {
    super(handle)
    this.snapshots = new Snapshots(handle)
  }

  /**
   * Opens an image for reading. It takes over all storages that it is given: they are closed with it, or when opening fails.
   *
   * @param source the image file: a `Blob`, bytes, a file handle, a storage such as `http(url)`, or an open disk that holds it.
   * @throws {@link Qcow2Error} `NOT_QCOW2`, `UNSUPPORTED_…`, `MISSING_…`, `CORRUPT_…`, `STORAGE`, `IN_USE` and others;
   * `NOT_IN_READER` for an encrypted image, and for options that `qcow2-web` alone has; or the signal's reason.
   */
  static async open(source: Source, options: ReadOptions = {}): Promise<Qcow2> {
    const given = optionsIn<OpenOptions>(options)
    for (const name of fullOptions) if (given[name]) throw notInReader(`The option ${name}`)
    const { backing, dataFile, cacheSize } = withStorages(given, storageFrom)
    const rest = { backing, dataFile, cacheSize, signal: signalIn(given) }
    return new Qcow2(await openWith(modules, storageFrom(source, 'The image'), rest))
  }
}

class Snapshots extends SnapshotList {
  static {
    lacks(this.prototype, 'snapshots', 'create apply delete rename')
  }
}

/** The options that only `qcow2-web` has. */
const fullOptions = ['writable', 'worker', 'passphrase', 'detectZeroes', 'cache'] as const

/** Nothing else is there: where an image turns out to be encrypted, that is an error. */
const modules: Modules = {
  module: reader,
  editing: async () => {
    throw notInReader('Opening an encrypted image')
  },
}

/** Adds methods that throw in place of those that are missing, for callers without types. */
function lacks(target: object, owner: string, names: string): void {
  for (const name of names.split(' ')) {
    const value = () => {
      throw notInReader(`${owner}.${name}`)
    }
    Object.defineProperty(target, name, { value, configurable: true })
  }
}
