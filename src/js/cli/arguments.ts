import { Failure, UsageError } from './failure.js'
import type { Parsed } from './getopt.js'
import { parseSize } from './sizes.js'

/** How a command reports. */
export type Output = 'human' | 'json'

/** The parsed arguments of a command, by the names in its table. */
export class Arguments {
  constructor(private readonly parsed: Parsed) {}

  /** The arguments that are no options. */
  get operands(): readonly string[] {
    return this.parsed.operands
  }

  has(name: string): boolean {
    return this.parsed.options.some(([each]) => each === name)
  }

  /** The last value of an option. */
  value(name: string): string | undefined {
    return this.all(name).at(-1)
  }

  /** All values of an option. */
  all(name: string): string[] {
    return this.parsed.options.filter(([each]) => each === name).map(([, value]) => value)
  }

  /** The lists of options that `-o` gave; one that is empty, or begins or ends with a comma, is refused. */
  optionLists(): string[] {
    const texts = this.all('options')
    const bad = texts.find((text) => text === '' || text.startsWith(',') || text.endsWith(','))
    if (bad !== undefined) throw new Failure(`Invalid option list: ${bad}`)
    return texts
  }

  /** The value of `--output`. */
  output(): Output {
    const text = this.value('output') ?? 'human'
    if (text === 'human' || text === 'json') return text
    throw new UsageError(`--output expects 'human' or 'json' not '${text}'`)
  }

  /** The one image that the command is about. */
  onlyOperand(): string {
    const [name] = this.operands
    if (name !== undefined && this.operands.length === 1) return name
    throw new UsageError('Expecting one image file name')
  }

  /** How the source is named. */
  source(): { readonly format: string | undefined; readonly imageOpts: boolean } {
    const [format, imageOpts] = [this.value('format'), this.has('imageOpts')]
    if (imageOpts && format !== undefined) throw new Failure('--image-opts and --format are mutually exclusive')
    return { format, imageOpts }
  }

  /** The value of an option that is a size; `what` names it in the error. */
  size(name: string, what: string, max?: bigint): bigint | undefined {
    const text = this.value(name)
    return text === undefined ? undefined : sizeArgument(text, what, max)
  }
}

/** A size on the command line; `what` names it in the error. */
export function sizeArgument(text: string, what: string, max = (1n << 63n) - 1n, min = 0n): bigint {
  const size = parseSize(text)
  if (size === 'invalid') throw new Failure(`Invalid ${what} specified: '${text}'.`)
  if (size !== 'range' && size >= min && size <= max) return size
  const bounds = max === (1n << 64n) - 1n ? `greater than or equal to ${min}` : `between ${min} and ${max}`
  throw new Failure(`Invalid ${what} specified. Must be ${bounds}.`)
}

/** When what a command writes becomes durable: at its flushes, with each write, or when the system finds time. */
export type Caching = 'writeback' | 'writethrough' | 'unsafe'

/** The cache modes of `-t` and `-T`. Files are always read and written through the cache of the system. */
const cacheModes: Readonly<Record<string, Caching>> = {
  none: 'writeback',
  off: 'writeback',
  directsync: 'writethrough',
  writeback: 'writeback',
  unsafe: 'unsafe',
  writethrough: 'writethrough',
}

/** The cache mode that `-t` or, for a source, `-T` gives. */
export function cacheMode(mode: string, source = false): Caching {
  const found = Object.hasOwn(cacheModes, mode) ? cacheModes[mode] : undefined
  if (found === undefined) throw new Failure(`Invalid ${source ? 'source ' : ''}cache option: ${mode}`)
  return found
}
