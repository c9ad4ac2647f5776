import { integer, oneOf, optionsIn, show, small } from '../../base/arguments.js'
import { invalidArgument } from '../../base/errors.js'
import type { RequestOptions } from '../../base/progress.js'
import type { Source } from '../../storage/source.js'
import type { HostStorage } from '../host-storage.js'
import type { Backing, BackingResolver } from './backing.js'
import type { DataFile, DataFileResolver } from './data-file.js'
import type { Passphrase, PassphraseResolver } from './passphrase.js'

/** Where the engine runs. */
export interface WorkerOptions {
  /**
   * Runs the engine in a worker, so that it never blocks the page. `true` uses one worker of the package for all images; it ends some
   * seconds after the last image is closed. Or pass a worker of your own, whose script imports `qcow2-web/worker`. Default: false.
   *
   * Everything works as on the page except the synchronous methods, which throw `NOT_SYNC`. Storages of `blob`, `fileHandle`, `http`
   * (without `fetchFn`), `idb` and `opfs`, with `readAhead` and `prefetched` over them, are opened in the worker; all others,
   * such as `memory`, `draft` and your own, stay on the page, and the worker asks for what it needs of them; what they throw
   * comes back as a copy. If the worker ends before its time, what is asked of it fails with code `WORKER_DIED`; so it does if
   * it does not answer within a minute, for it may have ended before it began.
   *
   * An image that is not open for writing is read ahead of sequential reads, by less than 1 MiB. Streams read ahead on their own.
   *
   * @throws {@link Qcow2Error} `INVALID_ARGUMENT` where there are no workers, as in Node.
   */
  readonly worker?: boolean | Worker | undefined
}

/** Where the engine is to run, by the options of a call: here where that is `undefined`. */
export function workerIn(options: WorkerOptions | undefined): true | Worker | undefined {
  const { worker } = optionsIn(options)
  if (worker === undefined || typeof worker === 'boolean') return worker || undefined
  const { postMessage, addEventListener } = (worker ?? {}) as Partial<Worker>
  if (typeof postMessage === 'function' && typeof addEventListener === 'function') return worker
  throw invalidArgument(`worker must be true, false or a Worker; it is ${show(worker)}.`)
}

/** How {@link Qcow2.open} opens. */
export interface OpenOptions extends WorkerOptions {
  /**
   * Opens the image for writing too: then its storage, and its data file's, must be writable. Backing files are only read.
   * Default: false.
   *
   * While the image is open, nothing else may write to the storage, or read it through another image. An image that is
   * marked as corrupt is refused. If a crash left refcounts that are out of date, they are rebuilt.
   */
  readonly writable?: boolean | undefined
  /**
   * Looks for zeros in what is written: a write of nothing but zeros becomes a {@link Qcow2.writeZeroes}, which stores no bytes for whole
   * clusters. `unmap` also frees clusters that were allocated before. As `detect-zeroes` of QEMU. Default: false.
   */
  readonly detectZeroes?: boolean | 'unmap' | undefined
  /** When what is written is durable, in an image that is opened for writing. Default: `writeback`. */
  readonly cache?: CacheMode | undefined
  /**
   * The backing files, if the image has any: the one storage or the list of them (the image's own first, then that
   * one's, and so on), or a function that is asked for each. `null`: open without; what they hold reads as zeros, and a
   * write fills up its cluster with zeros.
   * Without this option an image that needs a backing file is refused with `MISSING_BACKING_FILE`.
   */
  readonly backing?: Backing | readonly Backing[] | BackingResolver | null | undefined
  /**
   * The image's external data file, if it has one: its storage, an object as `CreateOptions.dataFile` takes it (only its
   * `storage` counts), or a function that is asked when the image needs it. One that the image does not need is not opened.
   */
  readonly dataFile?: Source | DataFile | DataFileResolver | undefined
  /**
   * The passphrase of the image, and of backing files that are encrypted and have none of their own ({@link BackingFile}); or a
   * function that is asked for each, once it is needed. `null`: open encrypted files without. Their header and their
   * tables can then be read; reading data fails with `PASSPHRASE_NEEDED`.
   */
  readonly passphrase?: Passphrase | PassphraseResolver | null | undefined
  /**
   * The most iterations that deriving a key may take: an image that asks for more is refused with `TOO_MANY_ITERATIONS`, for
   * it would keep the machine busy as long as it likes. Default: 100 million, some minutes.
   */
  readonly maxIterations?: number | undefined
  /** Memory for what was read before, in bytes, for each file of the chain. */
  readonly cacheSize?: CacheSize | undefined
  /** Aborts the opening, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * When what is written is durable: with `writeback` after a flush, and with `writethrough` as soon as a write is done, as
 * if a flush followed it; which costs as much.
 */
export type CacheMode = 'writeback' | 'writethrough'

/** Budgets of an image's caches, in bytes. */
export interface CacheSize {
  /** For the tables that map the disk to the file: 1 MiB serves 8 GiB of disk with clusters of 64 KiB. */
  readonly tables?: number | undefined
  /** For compressed clusters that were decompressed. */
  readonly clusters?: number | undefined
}

/** How {@link Qcow2.resize} resizes. */
export interface ResizeOptions extends RequestOptions {
  /** Lets the disk become smaller: the data past its new end is lost. Default: false. */
  readonly shrink?: boolean | undefined
  /** What is allocated of the part that is added, as in {@link CreateOptions.preallocation}. Default: `off`, nothing. */
  readonly preallocation?: 'off' | 'metadata' | 'full' | undefined
}

/** What becomes of a write of nothing but zeros, by the options of a call. */
export type DetectZeroes = 'off' | 'on' | 'unmap'

/** Checks `detectZeroes`. */
export function detectZeroesIn({ detectZeroes }: Pick<OpenOptions, 'detectZeroes'>): DetectZeroes {
  if (detectZeroes === 'unmap') return 'unmap'
  if (detectZeroes === undefined || typeof detectZeroes === 'boolean') return detectZeroes ? 'on' : 'off'
  throw invalidArgument(`detectZeroes must be true, false or 'unmap'; it is ${show(detectZeroes)}.`)
}

/** How an image is opened, as `src/bridge/host.rs` takes it. */
export interface HostOpenOptions {
  readonly dataFile: HostStorage | undefined
  readonly tableCache: number | undefined
  readonly clusterCache: number | undefined
  readonly writeThrough: boolean
  readonly locked: boolean
  readonly maxIterations: number | undefined
}

/** Checks the options of an opening. The data file is added when it is open. */
export function hostOpenOptions(
  options: Pick<OpenOptions, 'cache' | 'cacheSize' | 'passphrase' | 'maxIterations'>,
): HostOpenOptions {
  const { cache = 'writeback', cacheSize = {}, passphrase, maxIterations } = options
  const { tables, clusters } = optionsIn(cacheSize, 'cacheSize')
  return {
    dataFile: undefined,
    tableCache: tables === undefined ? undefined : integer(tables, 'cacheSize.tables'),
    clusterCache: clusters === undefined ? undefined : integer(clusters, 'cacheSize.clusters'),
    writeThrough: oneOf(cache, ['writeback', 'writethrough'], 'cache') === 'writethrough',
    locked: passphrase === null,
    maxIterations: maxIterations === undefined ? undefined : small(maxIterations, 'maxIterations'),
  }
}
