import type { CreateOptions, EncryptionOptions } from '../index.js'
import { Failure } from './failure.js'
import { isOn, type Values } from './format-options.js'
import { formats } from './formats.js'
import type { Secrets } from './secrets.js'
import { maxSize } from './sizes.js'

/** How an image is created, except for its files. */
export interface Qcow2Options extends Omit<CreateOptions, 'dataFile'> {
  readonly dataFileName: string | undefined
}

/** Checks the options of a qcow2 image, and what goes together, with QEMU's words for what does not. */
export function qcow2Options(values: Values, secrets: Secrets): Qcow2Options {
  const size = rounded(BigInt(values.get('size') ?? 0))
  const encryption = encryptionOptions(values, secrets)
  const version = versionOf(values.get('compat') ?? '1.1')
  const preallocation = values.get('preallocation') ?? 'off'
  if (!['off', 'metadata', 'falloc', 'full'].includes(preallocation)) throw refused('preallocation', preallocation)
  const compression = values.get('compression_type') ?? 'zlib'
  if (compression !== 'zlib' && compression !== 'zstd') throw refused('compression-type', compression)
  const clusterSize = Number(values.get('cluster_size') ?? 65536)
  if (clusterSize < 512 || clusterSize > 2 ** 21 || !Number.isInteger(Math.log2(clusterSize))) {
    throw new Failure('Cluster size must be a power of two between 512 and 2048k')
  }
  const extendedL2 = isOn(values, 'extended_l2')
  const newer = '(use version=v3 or greater)'
  if (extendedL2 && clusterSize < 16384) {
    throw new Failure('Extended L2 entries are only supported with cluster sizes of at least 16384 bytes')
  }
  if (extendedL2 && version < 3) {
    throw new Failure(`Extended L2 entries are only supported with compatibility level 1.1 and above ${newer}`)
  }
  const [backing, backingFormatName] = [values.get('backing_file'), values.get('backing_fmt')]
  if (backingFormatName !== undefined && !formats.includes(backingFormatName)) {
    throw refused('backing-fmt', backingFormatName)
  }
  if (backingFormatName !== undefined && backing === undefined) {
    throw new Failure('Backing format cannot be used without backing file')
  }
  if (preallocation !== 'off' && backing !== undefined && !extendedL2) {
    throw new Failure('Backing file and preallocation can only be used at the same time if extended_l2 is on')
  }
  const lazyRefcounts = isOn(values, 'lazy_refcounts')
  if (lazyRefcounts && version < 3) {
    throw new Failure(`Lazy refcounts only supported with compatibility level 1.1 and above ${newer}`)
  }
  const refcountBits = Number(values.get('refcount_bits') ?? 16)
  checkRefcountBits(refcountBits)
  if (version < 3 && refcountBits !== 16) {
    throw new Failure(`Different refcount widths than 16 bits require compatibility level 1.1 or above ${newer}`)
  }
  const dataFileName = values.get('data_file')
  if (isOn(values, 'data_file_raw') && dataFileName === undefined) {
    throw new Failure('data-file-raw requires data-file')
  }
  if (isOn(values, 'data_file_raw') && backing !== undefined) {
    throw new Failure('Backing file and data-file-raw cannot be used at the same time')
  }
  if (dataFileName !== undefined && version < 3) {
    throw new Failure(`External data files are only supported with compatibility level 1.1 and above ${newer}`)
  }
  if (compression !== 'zlib' && version < 3) {
    throw new Failure(`Non-zlib compression type is only supported with compatibility level 1.1 and above ${newer}`)
  }
  if (size > maxSize) throw new Failure('Could not resize image: Image size cannot be negative')
  if (size > maxLength) {
    throw new Failure(`Could not resize image: offset(${size}) exceeds maximum(${maxLength})`)
  }
  if (size > largest(clusterSize, extendedL2)) {
    throw new Failure("The image size is too large for file format 'qcow2' (try using a larger cluster size)")
  }
  return {
    size,
    version,
    clusterSize,
    refcountBits,
    lazyRefcounts,
    extendedL2,
    compression: compression === 'zlib' ? 'zlib' : 'zstd',
    backing: backing === undefined ? undefined : { name: backing, format: backingFormat(values.get('backing_fmt')) },
    preallocation: preallocation === 'falloc' ? 'full' : (preallocation as 'off' | 'metadata' | 'full'),
    encryption,
    dataFileName,
  }
}

/** Throws unless refcounts can have that width. */
export function checkRefcountBits(bits: number): void {
  if (bits >= 1 && bits <= 64 && Number.isInteger(Math.log2(bits))) return
  throw new Failure('Refcount width must be a power of two and may not exceed 64 bits')
}

function backingFormat(format: string | undefined): 'qcow2' | 'raw' {
  if (format === 'qcow2' || format === 'raw') return format
  throw new Failure(`Backing files of format '${format ?? ''}' are not supported`)
}

function versionOf(compat: string): 2 | 3 {
  if (compat === '0.10' || compat === 'v2') return 2
  if (compat === '1.1' || compat === 'v3') return 3
  throw refused('version', compat)
}

/** The longest that QEMU lets a disk be. */
const maxLength = maxSize - 2n ** 30n + 1n

/** The largest disk: the L1 table has 32 MiB at most. */
function largest(clusterSize: number, extendedL2: boolean): bigint {
  return 2n ** 22n * BigInt(clusterSize / (extendedL2 ? 16 : 8)) * BigInt(clusterSize)
}

const rounded = (size: bigint) => ((size + 511n) / 512n) * 512n

function refused(name: string, value: string): Failure {
  return new Failure(`Parameter '${name}' does not accept value '${value}'`)
}

const hashes = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160', 'sm3']

function encryptionOptions(values: Values, secrets: Secrets): EncryptionOptions | undefined {
  const format = values.get('encrypt.format') ?? (isOn(values, 'encryption') ? 'aes' : undefined)
  const details = [...values.keys()].filter((name) => /^encrypt\.(?!format$)/.test(name))
  if (format === undefined) {
    if (details.length > 0) throw new Failure("Parameter 'encrypt.format' is missing")
    return undefined
  }
  if (format !== 'luks' && format !== 'aes') throw refused('format', format)
  const unexpected = format === 'aes' ? details.find((name) => name !== 'encrypt.key-secret') : undefined
  if (unexpected !== undefined) throw new Failure(`Parameter '${unexpected}' is unexpected`)
  const id = values.get('encrypt.key-secret')
  if (id === undefined) throw new Failure("Parameter 'encrypt.key-secret' is required for cipher")
  const passphrase = secrets.get(id)
  if (!passphrase) throw new Failure(`No secret with id '${id}'`)
  if (format === 'aes') return { format, passphrase }
  const [cipher, mode] = [values.get('encrypt.cipher-alg') ?? 'aes-256', values.get('encrypt.cipher-mode') ?? 'xts']
  const [ivgen, hash] = [values.get('encrypt.ivgen-alg') ?? 'plain64', values.get('encrypt.hash-alg') ?? 'sha256']
  if (!/^(aes-(128|192|256)|serpent-(128|192|256)|twofish-(128|192|256)|cast5-128|des|3des|sm4)$/.test(cipher)) {
    throw refused('cipher-alg', cipher)
  }
  if (!['ecb', 'cbc', 'xts', 'ctr'].includes(mode)) throw refused('cipher-mode', mode)
  if (!['plain', 'plain64', 'essiv'].includes(ivgen)) throw refused('ivgen-alg', ivgen)
  if (!hashes.includes(hash)) throw refused('hash-alg', hash)
  // Ciphers with blocks of 64 bits have no such mode, and QEMU is built without the others.
  if (cipher === 'cast5-128' && mode === 'xts') throw new Failure(`Unsupported cipher mode ${mode}`)
  if (/^(des|3des|sm4)$/.test(cipher)) throw new Failure(`Algorithm '${cipher}' not supported`)
  const time = values.get('encrypt.iter-time')
  return {
    passphrase,
    cipher: cipher as 'aes-256',
    mode: `${mode}-${ivgen}${ivgen === 'essiv' ? `:${values.get('encrypt.ivgen-hash-alg') ?? 'sha256'}` : ''}` as 'xts-plain64',
    hash: hash as 'sha256',
    // QEMU takes two seconds by default.
    iterationTime: time === undefined ? 2000 : Number(time),
  }
}
