import { Failure } from './failure.js'
import { keyValues } from './keyval.js'

/** An image as the user names it: a file, and what is specified about it. */
export interface ImageSpec {
  /** The name in messages: what the user wrote. */
  readonly shown: string
  /** The file. */
  readonly filename: string
  /** The format; probed where it is absent. */
  readonly format?: string | undefined
  /** The id of the secret that opens the image. */
  readonly keySecret?: string | undefined
  /** The backing file to use instead of the recorded one. */
  readonly backing?: Overridden | undefined
  /** The data file to use instead of the recorded one. */
  readonly dataFile?: string | undefined
}

/** What replaces the recorded backing file; where there is no filename, the recorded one stays. */
export interface Overridden {
  readonly filename?: string | undefined
  readonly format?: string | undefined
  readonly keySecret?: string | undefined
  readonly backing?: Overridden | undefined
  readonly dataFile?: string | undefined
}

/** An image that is named on the command line, possibly by a `json:` or `file:` name. */
export function namedImage(name: string, format: string | undefined): ImageSpec {
  const file = fileName(name)
  if (typeof file === 'string') return { shown: name, filename: file, format }
  const spec = optionsSpec(name, flattened(file))
  return { ...spec, format: format ?? spec.format }
}

/** An image that is described by options, as with `--image-opts`. */
export function describedImage(options: string): ImageSpec {
  return optionsSpec(options, new Map(keyValues(options, 'file')))
}

/** The path in a name, or the object that a `json:` name holds. */
export function fileName(name: string): string | Readonly<Record<string, unknown>> {
  if (name.startsWith('json:')) {
    const refuse = (reason: string) => new Failure(`Could not open '${name}': ${reason}`)
    let value: unknown
    try {
      value = JSON.parse(name.slice(5))
    } catch {
      throw refuse(`Could not parse the JSON options: ${jsonProblem(name.slice(5))}`)
    }
    if (typeof value === 'object' && value && !Array.isArray(value)) return value as Record<string, unknown>
    throw refuse('Invalid JSON object given')
  }
  if (name.startsWith('file:')) return name.slice(5)
  const protocol = /^([A-Za-z0-9+.-]+):/.exec(name)?.[1]
  // As for QEMU, a colon after a slash belongs to a path.
  if (protocol !== undefined) throw new Failure(`Could not open '${name}': Unknown protocol '${protocol}'`)
  return name
}

/** What is wrong with a text that is no JSON. */
export function jsonProblem(text: string): string {
  return text.trimEnd().endsWith('}') ? 'JSON parse error, invalid object' : 'JSON parse error, premature EOI'
}

/** The members of nested objects, each with its path as its key. */
function flattened(value: Readonly<Record<string, unknown>>, prefix = ''): Map<string, string> {
  const flat = new Map<string, string>()
  for (const [key, member] of Object.entries(value)) {
    if (typeof member === 'object' && member) {
      for (const [inner, each] of flattened(member as Record<string, unknown>, `${prefix}${key}.`))
        flat.set(inner, each)
    } else flat.set(`${prefix}${key}`, typeof member === 'boolean' ? (member ? 'on' : 'off') : String(member))
  }
  return flat
}

/** Options that concern caching, locking and timing, which make no difference here. */
const ignored =
  /^(cache\.(direct|no-flush)|read-only|auto-read-only|force-share|detect-zeroes|discard|locking|aio|node-name|lazy-refcounts|pass-discard-.*|overlap-check.*|l2-cache-.*|cache-size|refcount-cache-size|cache-clean-interval|encrypt\.format|discard-no-unref|drop-cache|x-check-cache-dropped)$/

function optionsSpec(shown: string, options: Map<string, string>): ImageSpec {
  const refuse = (reason: string) => new Failure(`Could not open '${shown}': ${reason}`)
  if (![...options.keys()].some((key) => key === 'driver' || key === 'file' || key.startsWith('file.'))) {
    throw refuse('Must specify either driver or file')
  }
  const node = options.get('file')
  if (node !== undefined) throw refuse(`Cannot find device='${node}' nor node-name='${node}'`)
  const found = layer(options, refuse)
  if (found.filename === undefined) throw refuse('A block device must be specified for "file"')
  return { shown, ...found, filename: found.filename }
}

function layer(options: Map<string, string>, refuse: (reason: string) => Failure): Overridden {
  const format = options.get('driver')
  if (format === 'file') return { filename: options.get('filename'), format: 'raw' }
  const [file, backing] = [inner(options, 'file.'), inner(options, 'backing.')]
  const driver = file.get('driver') ?? 'file'
  if (driver !== 'file') throw refuse(`Unknown driver '${driver}'`)
  for (const key of options.keys()) {
    const known = ['driver', 'encrypt.key-secret', 'data-file.filename', 'data-file.driver', 'backing'].includes(key)
    if (!known && !/^(file|backing)\./.test(key) && !ignored.test(key)) {
      throw refuse(`Block format '${format ?? 'qcow2'}' does not support the option '${key}'`)
    }
  }
  return {
    filename: file.get('filename'),
    format,
    keySecret: options.get('encrypt.key-secret'),
    dataFile: options.get('data-file.filename'),
    backing: backing.size > 0 ? layer(backing, refuse) : undefined,
  }
}

/** The options that begin with `prefix`, without it. */
function inner(options: ReadonlyMap<string, string>, prefix: string): Map<string, string> {
  return new Map(
    [...options].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]),
  )
}

/** The name of a file that an image records, as seen from where the image is. */
export function relativeTo(image: string, recorded: string): string {
  if (recorded.startsWith('/') || /^[A-Za-z0-9+.-]+:/.test(recorded)) return recorded
  const slash = image.lastIndexOf('/')
  return `${image.slice(0, slash + 1)}${recorded}`
}
