/**
 * What went wrong, as a word that stays the same from release to release: what programs should compare.
 *
 * - `STORAGE`: the storage failed for a reason of its own, which is the error's `cause`.
 * - `STORAGE_CONTRACT`: the storage answered what a storage must not, such as too few bytes.
 * - `FILE_CHANGED`: the file was changed, moved or removed while it was in use; choose it again.
 * - `NO_RANGES`: the server can't give parts of the file; the whole of it can be downloaded instead.
 * - `QUOTA`: there is no room for what is written: the disk is full, or what the browser grants the page.
 * - `IN_USE`: another image has the storage, or another tab, worker or storage the file, and one of the two would write to it.
 * - `NOT_PERMITTED`: the user, or the browser, does not permit what the storage needs.
 * - `WORKER_DIED`: the worker that has the engine, or a file, is gone, with what it had not flushed; or it did not start.
 * - `WORKER_MISMATCH`: the worker's script is of another release than the page's; both have to be of the same.
 * - `NOT_QCOW2`: the file is of another format.
 * - `UNSUPPORTED_…`, `BACKING_CHAIN_TOO_LONG`: the image may be sound, but this package can't read it.
 * - `MISSING_BACKING_FILE`, `MISSING_DATA_FILE`: the image needs another file, which has to be supplied; `file` names it.
 * - `CORRUPT_…`: the image breaks the rules of the format, at `offset`.
 * - `TRUNCATED`: the image's file is cut off: parts of the disk are past its end.
 * - `OUT_OF_BOUNDS`: a range reaches past the end of the disk.
 * - `NO_SUCH_SNAPSHOT`: no snapshot has this id or name.
 * - `UNNEEDED_DATA_FILE`: a data file was supplied for an image that has none.
 * - `BAD_OPTIONS`: an image can't be made as was asked for.
 * - `NOT_EMPTY`: an image was to be made in a storage that holds something.
 * - `UNALIGNED`: a compressed write that is not of whole clusters.
 * - `NO_COMPRESSION`: an image that is encrypted, or has an external data file, takes no compressed clusters.
 * - `READ_ONLY`: a write to an image that is open for reading, or to a snapshot; or a storage that can't be written.
 * - `MARKED_CORRUPT`: the image is marked as corrupt. It can be read. Repair it before you write it.
 * - `POISONED`: a write after a flush that failed: what is durable is not known. Open the image again.
 * - `IMAGE_FULL`: the format has no room for more clusters.
 * - `REFCOUNT_OVERFLOW`: a cluster has more references than a narrower refcount could hold.
 * - `NEEDS_REPAIR`: the image is corrupt, and has to be repaired first.
 * - `CANCELLED`: a progress callback ended the operation.
 * - `REFCOUNT_LIMIT`: the image's refcounts are too narrow for one more snapshot.
 * - `SNAPSHOT_IN_USE`: a snapshot that is open can't be deleted.
 * - `TOO_MANY_SNAPSHOTS`: the format has no room for more snapshots.
 * - `BAD_SNAPSHOT_NAME`: the name has more than 255 bytes.
 * - `NO_SNAPSHOTS`: an image with an external data file can't have snapshots.
 * - `WOULD_SHRINK`: the disk would become smaller, which has to be asked for.
 * - `DISK_TOO_LARGE`: clusters of this size can't map a disk so large.
 * - `RESIZE_NEEDS_VERSION_3`: an image of version 2 that has snapshots can't be resized.
 * - `BACKING_NEEDED`: the backing file can't be removed: a part of the disk, or a snapshot, may need it. Or the disk can't
 *   grow because the image is open without it.
 * - `NO_SUCH_BITMAP`, `BITMAP_EXISTS`: the image has no bitmap of this name, or has one already.
 * - `BITMAP_INCONSISTENT`: the bitmap was not stored when the image was last written, and can only be deleted.
 * - `BAD_BITMAP`: a bitmap can't be made as was asked for.
 * - `PASSPHRASE_NEEDED`: the image, or the file of its chain at `depth`, is encrypted, and no passphrase was given.
 * - `WRONG_PASSPHRASE`: the passphrase opens no key slot. With QEMU's legacy encryption it cannot be detected: the disk then reads as noise.
 * - `TOO_MANY_ITERATIONS`: deriving a key would take longer than is allowed; `maxIterations` allows more.
 * - `NO_SUCH_KEY_SLOT`: the image has no key slot of this number, or none at all, for it is not encrypted by LUKS.
 * - `KEY_SLOTS_FULL`: all key slots are active; one has to be erased first.
 * - `KEY_SLOT_IN_USE`: the key slot that was chosen holds a passphrase.
 * - `LAST_KEY_SLOT`: nothing would open the image any more.
 * - `NO_ENTROPY`: there are no random bytes to make a key of.
 * - `NOT_ATTACHED`: a disk is not attached to a machine yet.
 * - `FAULT_PENDING`: a machine can't be saved or loaded while its guest waits for a request that failed.
 * - `BAD_MACHINE_STATE`: a saved machine is corrupt, or belongs to another machine, disk or program.
 * - `BUSY`: the machine is being saved or loaded; or a synchronous request has to wait for another request to the image, such
 *   as a flush that is under way.
 * - `INVALID_ARGUMENT`: a parameter is not what it must be.
 * - `NOT_SYNC`: a synchronous request to an image one of whose storages is asynchronous, or whose engine is in a worker.
 * - `CLOSED`: the image was closed before the request, or during it.
 * - `NOT_IN_READER`: `qcow2-web/read` only reads images that are not encrypted; `qcow2-web` has everything else.
 * - `LOAD_FAILED`: the WebAssembly module could not be loaded.
 * - `ENGINE_FAILED`: the engine broke down; a defect of this package, which should be reported.
 */
export type Qcow2ErrorCode =
  | 'STORAGE'
  | 'STORAGE_CONTRACT'
  | 'FILE_CHANGED'
  | 'NO_RANGES'
  | 'QUOTA'
  | 'IN_USE'
  | 'NOT_PERMITTED'
  | 'WORKER_DIED'
  | 'WORKER_MISMATCH'
  | 'NOT_QCOW2'
  | 'UNSUPPORTED_VERSION'
  | 'UNSUPPORTED_FEATURES'
  | 'UNSUPPORTED_ENCRYPTION'
  | 'UNSUPPORTED_COMPRESSION'
  | 'UNSUPPORTED_BACKING_FORMAT'
  | 'BACKING_CHAIN_TOO_LONG'
  | 'MISSING_BACKING_FILE'
  | 'MISSING_DATA_FILE'
  | 'CORRUPT_HEADER'
  | 'CORRUPT_EXTENSION'
  | 'CORRUPT_SNAPSHOT'
  | 'CORRUPT_BITMAP'
  | 'CORRUPT_L1_ENTRY'
  | 'CORRUPT_L2_ENTRY'
  | 'CORRUPT_COMPRESSED_CLUSTER'
  | 'CORRUPT_REFCOUNT_TABLE'
  | 'CORRUPT_REFCOUNT'
  | 'CORRUPT_OVERLAP'
  | 'CORRUPT_ENCRYPTION'
  | 'TRUNCATED'
  | 'OUT_OF_BOUNDS'
  | 'NO_SUCH_SNAPSHOT'
  | 'UNNEEDED_DATA_FILE'
  | 'BAD_OPTIONS'
  | 'NOT_EMPTY'
  | 'UNALIGNED'
  | 'NO_COMPRESSION'
  | 'READ_ONLY'
  | 'MARKED_CORRUPT'
  | 'POISONED'
  | 'IMAGE_FULL'
  | 'REFCOUNT_OVERFLOW'
  | 'NEEDS_REPAIR'
  | 'CANCELLED'
  | 'REFCOUNT_LIMIT'
  | 'SNAPSHOT_IN_USE'
  | 'TOO_MANY_SNAPSHOTS'
  | 'BAD_SNAPSHOT_NAME'
  | 'NO_SNAPSHOTS'
  | 'WOULD_SHRINK'
  | 'DISK_TOO_LARGE'
  | 'RESIZE_NEEDS_VERSION_3'
  | 'BACKING_NEEDED'
  | 'NO_SUCH_BITMAP'
  | 'BITMAP_EXISTS'
  | 'BITMAP_INCONSISTENT'
  | 'BAD_BITMAP'
  | 'PASSPHRASE_NEEDED'
  | 'WRONG_PASSPHRASE'
  | 'TOO_MANY_ITERATIONS'
  | 'NO_SUCH_KEY_SLOT'
  | 'KEY_SLOTS_FULL'
  | 'KEY_SLOT_IN_USE'
  | 'LAST_KEY_SLOT'
  | 'NO_ENTROPY'
  | 'NOT_ATTACHED'
  | 'FAULT_PENDING'
  | 'BAD_MACHINE_STATE'
  | 'BUSY'
  | 'INVALID_ARGUMENT'
  | 'NOT_SYNC'
  | 'CLOSED'
  | 'NOT_IN_READER'
  | 'LOAD_FAILED'
  | 'ENGINE_FAILED'

/**
 * Whose fault a failure is.
 *
 * - `storage`: where the bytes are: the storage, the server, the browser, another user of the file.
 * - `corrupt`: the image breaks the rules of the format.
 * - `unsupported`: the image may be sound, but this package can't read it.
 * - `misuse`: the caller asked for what can't be, or has not supplied what is needed.
 * - `engine`: this package: its module could not be loaded or broke down, or its worker is gone.
 */
export type Qcow2ErrorKind = 'storage' | 'corrupt' | 'unsupported' | 'misuse' | 'engine'

/** The codes of each kind but `misuse`, or how they begin; all others are misuse. */
const kinds: readonly (readonly [Qcow2ErrorKind, readonly string[]])[] = [
  ['storage', ['STORAGE', 'STORAGE_CONTRACT', 'FILE_CHANGED', 'NO_RANGES', 'QUOTA', 'IN_USE', 'NOT_PERMITTED']],
  ['corrupt', ['CORRUPT_', 'TRUNCATED']],
  ['unsupported', ['NOT_QCOW2', 'UNSUPPORTED_', 'BACKING_CHAIN_TOO_LONG', 'TOO_MANY_ITERATIONS']],
  ['engine', ['WORKER_DIED', 'WORKER_MISMATCH', 'LOAD_FAILED', 'ENGINE_FAILED']],
]

function kindOf(code: string): Qcow2ErrorKind {
  const is = (each: string) => (each.endsWith('_') ? code.startsWith(each) : code === each)
  return kinds.find(([, codes]) => codes.some(is))?.[0] ?? 'misuse'
}

/** What a {@link Qcow2Error} carries beside its code and its sentence. */
export interface Qcow2ErrorDetails {
  /** Where: a byte offset in the file at fault, or on the disk for `OUT_OF_BOUNDS`. */
  readonly offset?: number | undefined
  /** Which file of the backing chain is at fault: 1 is the backing file of the opened image. Absent for the image itself. */
  readonly depth?: number | undefined
  /** The file that the image needs, as the image records it. */
  readonly file?: MissingFile | undefined
  /** The exception that led to this one, unchanged. */
  readonly cause?: unknown
}

/** A file that an image names and that was not supplied. */
export interface MissingFile {
  /** The recorded name, often a path on the machine that made the image; `undefined` if none is recorded. */
  readonly name?: string | undefined
  /** The recorded format, such as `qcow2` or `raw`. */
  readonly format?: string | undefined
}

/**
 * Every failure of this package except aborted requests, which reject with their signal's reason.
 *
 * Structured cloning (`postMessage`) keeps nothing of an error but its message, so the message ends with the code and
 * the details: `The image needs … (qcow2/MISSING_BACKING_FILE?name=base.img)`. {@link Qcow2Error.from} restores them on
 * the other side. For people there is {@link Qcow2Error.reason}.
 *
 * @example
 * ```ts
 * try {
 *   await Qcow2.open(memory(new Uint8Array(512)))
 * } catch (error) {
 *   if (!isQcow2Error(error)) throw error
 *   console.log(error.code, error.kind, error.reason)
 * }
 * ```
 */
export class Qcow2Error extends Error {
  /** What went wrong, as a word for programs. */
  declare readonly code: Qcow2ErrorCode
  /** What went wrong, as a sentence for people. */
  declare readonly reason: string
  /** Where: a byte offset in the file at fault, or on the disk for `OUT_OF_BOUNDS`. */
  declare readonly offset?: number
  /** Which file of the backing chain is at fault: 1 is the backing file of the opened image. Absent for the image itself. */
  declare readonly depth?: number
  /** The file that the image needs, with code `MISSING_BACKING_FILE` and `MISSING_DATA_FILE`. */
  declare readonly file?: MissingFile

  static {
    // On the prototype, so that an error which crossed a boundary gets its name back with its prototype.
    Object.defineProperty(Qcow2Error.prototype, 'name', { value: 'Qcow2Error', configurable: true, writable: true })
  }

  /**
   * The error that `value` is, or was before it crossed `postMessage` or `structuredClone`; `undefined` if it is none. What
   * crossed is given back its fields in a new error, but not its `cause`, which doesn't cross everywhere.
   */
  static from(value: unknown): Qcow2Error | undefined {
    return quietly(() => restored(value), undefined)
  }

  /** Whose fault it is. */
  get kind(): Qcow2ErrorKind {
    return kindOf(this.code)
  }

  /**
   * Storages may throw these too: the caller of the image then gets the very error that the storage threw.
   *
   * The constructor never throws, which would hide what went wrong. It drops details that are not of their types.
   */
  constructor(code: Qcow2ErrorCode, reason: string, details: Qcow2ErrorDetails = {}) {
    const [word, sentence, known] = [stringOf(code), stringOf(reason), knownDetails(details)]
    super(`${sentence} (qcow2/${word}${query(known)})`, known.cause === undefined ? undefined : { cause: known.cause })
    describe(this, word, sentence, known)
  }
}

function stringOf(value: unknown): string {
  return quietly(() => String(value), 'unknown')
}

/** The details that are of their types. */
function knownDetails(details: Qcow2ErrorDetails): Qcow2ErrorDetails {
  const get = (value: object, key: string): unknown => quietly(() => (value as Record<string, unknown>)[key], undefined)
  const number = (value: unknown) => (typeof value === 'number' ? value : undefined)
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
  const file = get(details, 'file')
  const isFile = typeof file === 'object' && file !== null
  return {
    offset: number(get(details, 'offset')),
    depth: number(get(details, 'depth')),
    file: isFile ? { name: text(get(file, 'name')), format: text(get(file, 'format')) } : undefined,
    cause: get(details, 'cause'),
  }
}

/**
 * Returns whether `value` is a {@link Qcow2Error}, also one of another copy of this package. For one that crossed `postMessage`
 * or `structuredClone` there is {@link Qcow2Error.from}.
 *
 * @example
 * ```ts
 * const thrown: unknown = await Qcow2.open(memory()).catch((error) => error)
 * if (isQcow2Error(thrown) && thrown.code === 'NOT_QCOW2') console.log('That is no qcow2 image.')
 * ```
 */
export function isQcow2Error(value: unknown): value is Qcow2Error {
  return quietly(() => value instanceof Qcow2Error || isOfAnotherCopy(value), false)
}

/** What `look` returns for a thrown value. The value may be anything, and may itself throw when it is examined. */
function quietly<T>(look: () => T, otherwise: T): T {
  try {
    return look()
  } catch {
    return otherwise
  }
}

/** What the message of an error of this package is made of. */
const pattern = /^(.*) \(qcow2\/([A-Z0-9_]+)(?:\?([^ ()]*))?\)$/s

function isOfAnotherCopy(value: unknown): boolean {
  // By its brand: an error of another window is no instance of this window's class. The name alone proves nothing.
  if (Object.prototype.toString.call(value) !== '[object Error]') return false
  const { message, code } = value as Error & { code?: unknown }
  return typeof code === 'string' && pattern.test(message)
}

function restored(value: unknown): Qcow2Error | undefined {
  if (isQcow2Error(value)) return value
  if (Object.prototype.toString.call(value) !== '[object Error]') return undefined
  const { message, stack } = value as Error
  const match = pattern.exec(message)
  if (!match) return undefined
  const [, reason = '', code, details] = match
  const error = new Qcow2Error(code as Qcow2ErrorCode, reason, parse(details ?? ''))
  // The stack of the original error is more useful than that of its copy.
  Object.defineProperty(error, 'stack', { value: stack, configurable: true, writable: true })
  return error
}

/** The error for a parameter that is not what it must be. */
export function invalidArgument(reason: string): Qcow2Error {
  return new Qcow2Error('INVALID_ARGUMENT', reason)
}

function describe(error: Qcow2Error, code: string, reason: string, { offset, depth, file }: Qcow2ErrorDetails): void {
  const fields = { code, reason, offset, depth, file }
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) Object.defineProperty(error, key, { value, enumerable: true, configurable: true })
  }
}

function query({ offset, depth, file }: Qcow2ErrorDetails): string {
  const entries = Object.entries({ offset, depth, name: file?.name, format: file?.format })
  const present = entries.filter(([, value]) => value !== undefined).map(([key, value]) => [key, String(value)])
  return present.length === 0 ? '' : `?${new URLSearchParams(present)}`
}

function parse(text: string): Qcow2ErrorDetails {
  const fields = new URLSearchParams(text)
  const number = (key: string) => (fields.has(key) ? Number(fields.get(key)) : undefined)
  const name = fields.get('name') ?? undefined
  const format = fields.get('format') ?? undefined
  const file = name === undefined && format === undefined ? undefined : { name, format }
  return { offset: number('offset'), depth: number('depth'), file }
}

/** Names and codes under which browsers and Node report that there is no room. */
const full = ['QuotaExceededError', 'ENOSPC', 'EDQUOT', 'EFBIG', 'NS_ERROR_FILE_NO_DEVICE_SPACE']

/** The code for what a storage threw. */
export function codeOf(thrown: unknown): 'STORAGE' | 'QUOTA' {
  const said = quietly(() => {
    const { name, code } = (thrown ?? {}) as { readonly name?: unknown; readonly code?: unknown }
    return [name, code]
  }, [])
  return full.some((each) => said.includes(each)) ? 'QUOTA' : 'STORAGE'
}

/** What was thrown, in its own words if it has some. */
export function wordsOf(thrown: unknown): string {
  const words = quietly(() => (thrown instanceof Error ? thrown.message : thrown), undefined)
  return typeof words === 'string' ? words : 'it threw something that is not an error'
}

/** What a storage threw when it was asked for bytes at `offset`, on its way through the engine. */
export class ThrownAt {
  constructor(
    readonly exception: unknown,
    readonly offset: number,
  ) {}
}

/** What a storage threw, as a {@link Qcow2Error}; `words` describe the failure. */
export function storageFailed(
  thrown: unknown,
  { words = 'the storage failed: ', depth }: { readonly words?: string; readonly depth?: number | undefined } = {},
): unknown {
  const { exception: cause, offset } = thrown instanceof ThrownAt ? thrown : { exception: thrown, offset: undefined }
  // One that speaks in these errors is heard as it is.
  const own = Qcow2Error.from(cause)
  if (own) return own
  return new Qcow2Error(codeOf(cause), sentence(`${words}${wordsOf(cause)}`), { offset, depth, cause })
}

/** An error message of the engine as a sentence. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
