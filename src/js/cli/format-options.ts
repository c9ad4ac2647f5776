import { Failure } from './failure.js'
import { keyValues } from './keyval.js'
import { parseSize } from './sizes.js'

/** What an option of a format takes. */
type Kind = 'str' | 'size' | 'num' | 'bool'

/** An option of a format: what it takes, and what it is. */
interface FormatOption {
  readonly kind: Kind
  readonly help: string
  /** The value where none is given, for the options that are always reported. */
  readonly initial?: string
}

/** Options of a format by name, in the order in which they are reported. */
export type FormatOptions = Readonly<Record<string, FormatOption>>

/** Values of options by name; sizes and numbers as decimal texts, booleans as `on` and `off`. */
export type Values = Map<string, string>

const luks: FormatOptions = {
  'encrypt.format': { kind: 'str', help: "Encrypt the image, format choices: 'aes', 'luks'" },
  'encrypt.key-secret': { kind: 'str', help: 'ID of secret providing qcow AES key or LUKS passphrase' },
  'encrypt.cipher-alg': { kind: 'str', help: 'Name of encryption cipher algorithm' },
  'encrypt.cipher-mode': { kind: 'str', help: 'Name of encryption cipher mode' },
  'encrypt.ivgen-alg': { kind: 'str', help: 'Name of IV generator algorithm' },
  'encrypt.ivgen-hash-alg': { kind: 'str', help: 'Name of IV generator hash algorithm' },
  'encrypt.hash-alg': { kind: 'str', help: 'Name of encryption hash algorithm' },
  'encrypt.iter-time': { kind: 'num', help: 'Time to spend in PBKDF in milliseconds' },
}

const common: FormatOptions = {
  size: { kind: 'size', help: 'Virtual disk size' },
  compat: { kind: 'str', help: 'Compatibility level (v2 [0.10] or v3 [1.1])' },
  backing_file: { kind: 'str', help: 'File name of a base image' },
  backing_fmt: { kind: 'str', help: 'Image format of the base image' },
  data_file: { kind: 'str', help: 'File name of an external data file' },
  data_file_raw: { kind: 'bool', help: 'The external data file must stay valid as a raw image' },
  lazy_refcounts: { kind: 'bool', help: 'Postpone refcount updates', initial: 'off' },
  refcount_bits: { kind: 'num', help: 'Width of a reference count entry in bits', initial: '16' },
}

/** What a qcow2 image is created with. */
const qcow2: FormatOptions = {
  encryption: {
    kind: 'bool',
    help: "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
  },
  ...luks,
  cluster_size: { kind: 'size', help: 'qcow2 cluster size', initial: '65536' },
  extended_l2: { kind: 'bool', help: 'Extended L2 tables', initial: 'off' },
  preallocation: { kind: 'str', help: 'Preallocation mode (allowed values: off, metadata, falloc, full)' },
  compression_type: {
    kind: 'str',
    help: 'Compression method used for image cluster compression',
    initial: 'zlib',
  },
  ...common,
}

/** What the options of files are. */
const file: FormatOptions = {
  size: { kind: 'size', help: 'Virtual disk size' },
  preallocation: { kind: 'str', help: 'Preallocation mode (allowed values: off, falloc, full)' },
  nocow: { kind: 'bool', help: 'Turn off copy-on-write (valid only on btrfs)' },
  extent_size_hint: { kind: 'size', help: 'Extent size hint for the image file, 0 to disable' },
}

/** The options of the formats that this command creates. */
export const formatOptions: Readonly<Record<string, FormatOptions>> = {
  qcow2,
  raw: { size: { kind: 'size', help: 'Virtual disk size' } },
}

/** The options with which `create` makes a file of a format. */
export function creationOptions(format: string): FormatOptions {
  return { ...formatOptions[format], ...without(file, Object.keys(formatOptions[format] ?? {})) }
}

/** What can be changed about a qcow2 image that exists. */
export const amendable: FormatOptions = {
  'encrypt.state': { kind: 'str', help: 'Select new state of affected keyslots (active/inactive)' },
  'encrypt.keyslot': { kind: 'num', help: 'Select a single keyslot to modify explicitly' },
  'encrypt.old-secret': { kind: 'str', help: 'Select all keyslots that match this password' },
  'encrypt.new-secret': {
    kind: 'str',
    help: 'New secret to set in the matching keyslots. Empty string to erase',
  },
  'encrypt.iter-time': { kind: 'num', help: 'Time to spend in PBKDF in milliseconds' },
  ...common,
}

function without(options: FormatOptions, names: readonly string[]): FormatOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name)))
}

/** The lines that `-o help` prints. */
export function helpLines(options: FormatOptions): string {
  const types = { str: 'str', size: 'size', num: 'num', bool: 'bool (on/off)' }
  const names = Object.keys(options).sort((a, b) => (a < b ? -1 : 1))
  const lines = names.map((name) => {
    const { kind, help } = options[name] as FormatOption
    return `  ${`${name}=<${types[kind]}>`.padEnd(22)} - ${help}\n`
  })
  return lines.join('')
}

/** Reads `-o` lists into `values`; a later value replaces an earlier one. */
export function readOptions(texts: readonly string[], options: FormatOptions, values: Values): void {
  for (const text of texts) {
    for (const [name, value] of keyValues(text)) {
      const option = options[name]
      if (!option) throw new Failure(`Invalid parameter '${name}'`)
      values.set(name, checkedValue(name, value, option.kind))
    }
  }
}

/** A value in the form in which it is reported. */
function checkedValue(name: string, value: string, kind: Kind): string {
  if (kind === 'size') return String(checkedSize(value, name))
  if (kind === 'bool') {
    if (!yes.includes(value) && !no.includes(value)) throw new Failure(`Parameter '${name}' expects 'on' or 'off'`)
    return value
  }
  if (kind === 'num') {
    const number = integerIn(value)
    if (number === undefined) throw new Failure(`Parameter '${name}' expects a number`)
    if (number >= 2n ** 64n) throw new Failure(`Value '${value}' is too large for parameter '${name}'`)
    return String(BigInt.asUintN(64, number))
  }
  return value
}

const yes = ['on', 'yes', 'true', 'y']
const no = ['off', 'no', 'false', 'n']

/** Whether an option that is on or off was given as on. */
export function isOn(values: Values, name: string): boolean {
  return yes.includes(values.get(name) ?? 'off')
}

/** The number in a text, as C reads it: decimal, hexadecimal after `0x`, octal after `0`. */
function integerIn(text: string): bigint | undefined {
  const [, sign, digits] = /^\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)$/.exec(text) ?? []
  if (digits === undefined) return undefined
  const number = BigInt(digits.replace(/^0(?=[0-7])/, '0o'))
  return sign === '-' ? -number : number
}

/** The size in a text, for the option that `name` is. */
export function checkedSize(text: string, name: string): bigint {
  const size = parseSize(text)
  if (size === 'range') throw new Failure(`Value '${text}' is out of range for parameter '${name}'`)
  if (size !== 'invalid') return size
  throw new Failure(
    `Parameter '${name}' expects a non-negative number below 2^64\n` +
      'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.',
  )
}

/** The values and the initial ones, as `name=value` in the order of the table. */
export function reported(values: Values, options: FormatOptions): string {
  const parts: string[] = []
  for (const [name, { initial, kind }] of Object.entries(options)) {
    const value = values.get(name) ?? initial
    if (value !== undefined) parts.push(`${name}=${shown(value, kind)}`)
  }
  return parts.join(' ')
}

/** A value in a report, where numbers have a sign. */
function shown(value: string, kind: Kind): string {
  return kind === 'size' || kind === 'num' ? String(BigInt.asIntN(64, BigInt(value))) : value.replaceAll(',', ',,')
}
