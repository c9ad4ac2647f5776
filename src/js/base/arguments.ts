import { invalidArgument, Qcow2Error } from './errors.js'
import type { LongOptions, RequestOptions } from './progress.js'

/** A number of bytes: an integer up to `Number.MAX_SAFE_INTEGER`, or a bigint for disks beyond 8 PiB. */
export type ByteCount = number | bigint

/** The largest number that the engine takes for an offset. */
const limit = 1n << 63n

/** `value` as an integer that is not negative; `what` names it in the error. */
export function byteCount(value: unknown, what: string): ByteCount {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  if (typeof value === 'bigint' && value >= 0n && value < limit) return value
  throw invalidArgument(`${what} must be an integer that is not negative, or a bigint; it is ${show(value)}.`)
}

/** `value` as an integer from `least`; for numbers that measure memory. */
export function integer(value: unknown, what: string, least = 0): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value
  throw invalidArgument(`${what} must be an integer of at least ${least}; it is ${show(value)}.`)
}

/** `value` as a number that 32 bits hold; a larger one as the largest. */
export function small(value: unknown, what: string, least = 0): number {
  return Math.min(integer(value, what, least), 0xffff_ffff)
}

/** `value` as an integer from `least` that 32 bits hold. */
export function word(value: unknown, what: string, least = 0): number {
  if (integer(value, what, least) < 2 ** 32) return value as number
  throw invalidArgument(`${what} must be less than 2^32; it is ${show(value)}.`)
}

/** `value` as one of `values`. */
export function oneOf<T extends string>(value: unknown, values: readonly T[], what: string): T {
  const found = values.find((each) => each === value)
  if (found !== undefined) return found
  throw invalidArgument(`${what} must be '${values.join("' or '")}'; it is ${show(value)}.`)
}

/** `value` as a text. */
export function text(value: unknown, what: string): string {
  if (typeof value === 'string') return value
  throw invalidArgument(`${what} must be a string; it is ${show(value)}.`)
}

/** The bytes of an `ArrayBuffer` or of any view, in place. */
export function bytesIn(value: unknown, what: string): Uint8Array {
  const view = ArrayBuffer.isView(value)
  // By its brand: one from another window is no instance of this window's class.
  if (view || show(value) === '[object ArrayBuffer]') {
    const { byteLength } = value as ArrayBuffer | ArrayBufferView
    if (byteLength === 0 && isDetached(value as ArrayBuffer))
      throw invalidArgument(`${what} was transferred elsewhere.`)
    if (value instanceof Uint8Array) return value
    return view ? new Uint8Array(value.buffer, value.byteOffset, byteLength) : new Uint8Array(value as ArrayBuffer)
  }
  throw invalidArgument(`${what} must be an ArrayBuffer or a view such as a Uint8Array; it is ${show(value)}.`)
}

/** Throws unless the range is within `size` bytes. Exact, also where the numbers are not safe integers. */
export function within(offset: ByteCount, length: ByteCount, size: number): void {
  // A sum of numbers is rounded to the nearest one, so it exceeds `size`, itself a number, only if the true sum does.
  const bigints = typeof offset === 'bigint' || typeof length === 'bigint'
  const outside = bigints ? BigInt(offset) + BigInt(length) > BigInt(size) : offset + length > size
  if (!outside) return
  const reason = `${length} bytes at offset ${offset} reach past the end: there are ${size} bytes.`
  throw new Qcow2Error('OUT_OF_BOUNDS', reason, { offset: Number(offset) })
}

/** `offset + by`, as a number while that is exact. */
export function advance(offset: ByteCount, by: number): ByteCount {
  const sum = typeof offset === 'number' ? offset + by : undefined
  return sum !== undefined && Number.isSafeInteger(sum) ? sum : BigInt(offset) + BigInt(by)
}

/** Throws if the array of a read, of so many bytes when it was given, has been transferred since. */
export function stillHas(target: number | Uint8Array, length: number): void {
  if (typeof target === 'number' || target.length === length) return
  throw invalidArgument('The array was given away while it was to be filled.')
}

/** True if memory, or that of an array, was transferred: then it has no bytes, and some of the array's methods throw. */
export function isDetached(memory: ArrayBuffer | ArrayBufferView): boolean {
  try {
    new Uint8Array(ArrayBuffer.isView(memory) ? memory.buffer : memory)
    return false
  } catch {
    return true
  }
}

/** `value` as an object of options; none are given where it is missing. */
export function optionsIn<O extends object>(value: O | undefined, what = 'The options'): Partial<O> {
  if (value === undefined) return {}
  if ((typeof value === 'object' && value !== null) || typeof value === 'function') return value
  throw invalidArgument(`${what} must be an object; it is ${show(value)}.`)
}

/** How a call is watched, by its options: each member is read once. */
export function watchIn(options: LongOptions | undefined): LongOptions {
  const { signal, onProgress } = optionsIn(options)
  return { signal: abortSignal(signal), onProgress: callback(onProgress, 'onProgress') }
}

/** The signal of a call, by its options. */
export function signalIn(options: RequestOptions | undefined): AbortSignal | undefined {
  return abortSignal(optionsIn(options).signal)
}

/** `value` as a signal, by its shape: one from another window is no instance of this window's class. */
function abortSignal(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value === undefined) return undefined
  const { aborted, addEventListener, removeEventListener, throwIfAborted } = (value ?? {}) as Partial<AbortSignal>
  const methods = [addEventListener, removeEventListener, throwIfAborted]
  if (typeof aborted === 'boolean' && methods.every((each) => typeof each === 'function')) return value
  throw invalidArgument(`signal must be an AbortSignal; it is ${show(value)}.`)
}

/** `value` as a function, or nothing. */
export function callback<F extends ((...args: never) => unknown) | undefined>(value: F, what: string): F {
  if (value === undefined || typeof value === 'function') return value
  throw invalidArgument(`${what} must be a function; it is ${show(value)}.`)
}

/** `value` as an object that has these methods. */
export function withMethods<T extends object>(value: T, methods: readonly (keyof T & string)[], what: string): T {
  const object = ((typeof value === 'object' || typeof value === 'function') && value) || undefined
  if (object && methods.every((name) => typeof object[name] === 'function')) return object
  throw invalidArgument(`${what} must have the methods ${methods.join(', ')}; it is ${show(value)}.`)
}

/** `value` as a boolean; `otherwise` where it is missing. */
export function flag(value: unknown, what: string, otherwise = false): boolean {
  if (value === undefined) return otherwise
  if (typeof value === 'boolean') return value
  throw invalidArgument(`${what} must be true or false; it is ${show(value)}.`)
}

/** `value`, as an error message shows it. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  if (typeof value === 'function') return 'a function'
  return typeof value === 'object' && value !== null ? kindOf(value) : String(value)
}

function kindOf(value: object): string {
  try {
    return Object.prototype.toString.call(value)
  } catch {
    // It may throw where one looks at it.
    return 'an object'
  }
}
