import { readFileSync } from 'node:fs'
import { Failure } from './failure.js'
import { type Host, located } from './host.js'
import { keyValues } from './keyval.js'
import { jsonProblem } from './spec.js'

/** Passphrases by the ids that `--object secret` gave them. */
export type Secrets = Map<string, Uint8Array<ArrayBuffer>>

/** Reads the values of `--object`; only secrets are known. */
export function readSecrets(host: Host, objects: readonly string[]): Secrets {
  const secrets: Secrets = new Map()
  for (const object of objects) {
    const values = objectValues(object)
    const type = values.get('qom-type')
    if (type === undefined) throw new Failure("Parameter 'qom-type' is missing")
    if (type !== 'secret') throw new Failure(`Parameter 'qom-type' does not accept value '${type}'`)
    const id = values.get('id')
    if (id === undefined) throw new Failure("Parameter 'id' is missing")
    if (!/^[A-Za-z][A-Za-z0-9._-]*$/.test(id)) {
      throw new Failure(
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter.",
      )
    }
    if (secrets.has(id)) throw new Failure(`attempt to add duplicate property '${id}' to object (type 'container')`)
    secrets.set(id, secret(host, values))
  }
  return secrets
}

/** The value of `--object`: a list of keys and values, or an object in JSON. */
function objectValues(text: string): Map<string, string> {
  if (!text.startsWith('{')) return new Map(keyValues(text, 'qom-type'))
  try {
    return new Map(Object.entries(JSON.parse(text) as object).map(([key, value]) => [key, String(value)]))
  } catch {
    throw new Failure(jsonProblem(text))
  }
}

function secret(host: Host, values: ReadonlyMap<string, string>): Uint8Array<ArrayBuffer> {
  const [data, file, format = 'raw'] = [values.get('data'), values.get('file'), values.get('format')]
  for (const key of values.keys()) {
    if (!['qom-type', 'id', 'data', 'file', 'format'].includes(key))
      throw new Failure(`Parameter '${key}' is unexpected`)
  }
  if (data !== undefined && file !== undefined) {
    throw new Failure("'file' and 'data' are mutually exclusive")
  }
  if (data === undefined && file === undefined) throw new Failure("Either 'file' or 'data' must be provided")
  const bytes = data === undefined ? fileBytes(host, file ?? '') : new TextEncoder().encode(data)
  if (format === 'raw') return bytes
  if (format !== 'base64') throw new Failure(`Parameter 'format' does not accept value '${format}'`)
  const text = new TextDecoder().decode(bytes)
  if (!/^[A-Za-z0-9+/=\s]*$/.test(text)) throw new Failure('Base64 data is not valid: it has other characters')
  return Uint8Array.from(Buffer.from(text, 'base64'))
}

function fileBytes(host: Host, name: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(readFileSync(located(host, name)))
  } catch (error) {
    throw new Failure(`Unable to read ${name}: Failed to open file “${name}”: ${systemReason(error)}`)
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EPERM: 'Operation not permitted',
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  EFBIG: 'File too large',
  ENAMETOOLONG: 'File name too long',
  ELOOP: 'Too many levels of symbolic links',
  EIO: 'Input/output error',
  EBUSY: 'Device or resource busy',
  ETXTBSY: 'Text file busy',
  EINVAL: 'Invalid argument',
}

/** What the operating system reports, in its own words. */
export function systemReason(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  return reasons[String(code)] ?? String(message ?? error)
}
