import { statSync } from 'node:fs'
import type { EncryptionInfo, ImageInfo, Snapshot } from '../index.js'
import { Arguments } from './arguments.js'
import type { Command } from './command.js'
import { Failure } from './failure.js'
import type { Host } from './host.js'
import type { ImageFile } from './image-file.js'
import { type Json, ordered, pretty } from './json.js'
import { filesOf, imageSpec, openFiles } from './open.js'
import { readSecrets } from './secrets.js'
import { humanSize } from './sizes.js'
import { snapshotLines } from './snapshot-list.js'
import { type ImageSpec, namedImage, relativeTo } from './spec.js'

/** `info`: reports what the header and the tables of an image record. */
export const info: Command = {
  summary: 'Reports what the header and the tables of an image record.',
  usage: 'info [-f FMT | --image-opts] [--backing-chain] [-U] [--object OBJDEF] [--output human|json] FILENAME',
  options: {
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    backingChain: { short: 'b', long: 'backing-chain' },
    forceShare: { short: 'U', long: 'force-share' },
    output: { long: 'output', takesValue: true },
    object: { long: 'object', takesValue: true },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const output = args.output()
    const name = args.onlyOperand()
    const { format, imageOpts } = args.source()
    const chain = args.has('backingChain')
    readSecrets(host, args.all('object'))
    const described: Described[] = []
    let next: ImageSpec | undefined = imageSpec(name, format, imageOpts)
    while (next) {
      const seen: string[] = described.map(({ file }) => file.path)
      const one: Described = await describe(host, next)
      if (seen.includes(one.file.path)) throw new Failure(`Backing file '${next.filename}' creates an infinite loop.`)
      described.push(one)
      next = chain ? one.below : undefined
    }
    if (output === 'human') host.out(described.map(({ file, json }) => human(file, json)).join('\n'))
    else host.out(`${pretty(chain ? described.map(({ json }) => json) : (described[0]?.json ?? {}))}\n`)
    return 0
  },
}

/** An image with its report, and the next one of its chain. */
interface Described {
  readonly file: ImageFile
  readonly json: Report
  readonly below: ImageSpec | undefined
}

type Report = { readonly [key: string]: Json | undefined }

async function describe(host: Host, spec: ImageSpec): Promise<Described> {
  const opening = { noBacking: true, noData: true }
  const [file] = await filesOf(host, spec, opening)
  if (!file) throw new Failure(`Could not open '${spec.shown}'`)
  const disk = await openFiles(host, spec, [file], opening)
  try {
    const stat = statSync(file.path)
    const { size, blocks } = stat
    const length = BigInt(Math.ceil(size / 512)) * 512n
    const stored = { length, allocated: BigInt(blocks) * 512n, protocol: stat.isFile() ? 'file' : 'host_device' }
    const details = await disk.qcow2?.info()
    const backing = details?.backingFile
    const full = backing === undefined ? undefined : relativeTo(file.name, backing)
    const json: Report = {
      filename: file.name,
      format: file.format,
      'dirty-flag': details?.dirty ?? false,
      'actual-size': stored.allocated,
      'virtual-size': disk.size,
      'cluster-size': details?.clusterSize,
      encrypted: details?.encryption ? true : undefined,
      'backing-filename': backing,
      'full-backing-filename': full,
      'backing-filename-format': backing === undefined ? undefined : details?.backingFormat,
      snapshots: snapshotReports((await disk.qcow2?.snapshots.list()) ?? []),
      'format-specific': details && { type: 'qcow2', data: specific(details, file) },
      children: [{ name: 'file', info: fileNode(file, stored) }],
    }
    return { file, json, below: full === undefined ? undefined : namedImage(full, details?.backingFormat) }
  } finally {
    await disk.close()
  }
}

/** What the file system reports about a file. */
interface Stored {
  readonly length: bigint
  readonly allocated: bigint
  readonly protocol: string
}

function fileNode({ name }: ImageFile, { length, allocated, protocol }: Stored): Json {
  return {
    filename: name,
    format: protocol,
    'dirty-flag': false,
    'actual-size': allocated,
    'virtual-size': length,
    'format-specific': { type: protocol, data: {} },
    children: [],
  }
}

function snapshotReports(snapshots: readonly Snapshot[]): Json | undefined {
  if (snapshots.length === 0) return undefined
  return snapshots.map(({ id, name, vmStateSize, dateSec, dateNsec, vmClockNsec, icount }) => ({
    id,
    name,
    'vm-state-size': vmStateSize,
    'date-sec': dateSec,
    'date-nsec': dateNsec,
    'vm-clock-sec': vmClockNsec / 1_000_000_000n,
    'vm-clock-nsec': vmClockNsec % 1_000_000_000n,
    icount,
  }))
}

/** What only images of this format have. */
function specific(details: ImageInfo, { inspection }: ImageFile): Report {
  const isVersion3 = details.version >= 3
  const bitmaps = details.bitmaps.map(({ name, granularity, inUse, auto }) => ({
    name,
    granularity,
    flags: [...(inUse ? ['in-use'] : []), ...(auto ? ['auto'] : [])],
  }))
  return {
    compat: details.compat,
    'data-file': isVersion3 && details.externalDataFile ? inspection?.dataFile : undefined,
    'data-file-raw': isVersion3 && details.externalDataFile ? details.dataFileRaw : undefined,
    'extended-l2': isVersion3 ? details.extendedL2 : undefined,
    'lazy-refcounts': isVersion3 ? details.lazyRefcounts : undefined,
    corrupt: isVersion3 ? details.corrupt : undefined,
    'refcount-bits': details.refcountBits,
    encrypt: details.encryption && encryption(details.encryption),
    bitmaps: isVersion3 && bitmaps.length > 0 ? bitmaps : undefined,
    'compression-type': details.compressionType,
  }
}

function encryption(found: EncryptionInfo): Json {
  if (found.format === 'aes') return { format: 'aes' }
  const [mode = '', ivgen = '', ivHash] = found.mode.split(/[-:]/)
  const keyBits = mode === 'xts' ? found.keyBits / 2 : found.keyBits
  const slotBytes = found.keySlots.map(({ offset }) => offset)
  const slotLength = (slotBytes[1] ?? 0) - (slotBytes[0] ?? 0)
  return {
    format: 'luks',
    'detached-header': false,
    'cipher-alg': `${found.cipher}-${keyBits}`,
    'cipher-mode': mode,
    'ivgen-alg': ivgen,
    'ivgen-hash-alg': ivHash,
    'hash-alg': found.hash,
    'payload-offset': (slotBytes.at(-1) ?? 0) + slotLength,
    'master-key-iters': found.digestIterations,
    uuid: found.uuid,
    slots: found.keySlots.map(({ active, iterations, offset, stripes }) => ({
      active,
      iters: active ? iterations : undefined,
      stripes: active ? stripes : undefined,
      'key-offset': offset,
    })),
  }
}

/** A report for people. */
function human(file: ImageFile, report: Report): string {
  const text = (key: string) => String(report[key])
  const lines = [
    `image: ${text('filename')}`,
    `file format: ${text('format')}`,
    `virtual size: ${humanSize(Number(report['virtual-size']))} (${text('virtual-size')} bytes)`,
    `disk size: ${humanSize(report['actual-size'] as bigint)}`,
  ]
  if (report.encrypted) lines.push('encrypted: yes')
  if (report['cluster-size'] !== undefined) lines.push(`cluster_size: ${text('cluster-size')}`)
  if (report['dirty-flag']) lines.push('cleanly shut down: no')
  if (report['backing-filename'] !== undefined) {
    const [backing, full] = [text('backing-filename'), text('full-backing-filename')]
    lines.push(`backing file: ${backing}${full === backing ? '' : ` (actual path: ${full})`}`)
    const format = report['backing-filename-format']
    if (format !== undefined) lines.push(`backing file format: ${format}`)
  }
  const snapshots = file.inspection?.snapshots ?? []
  if (snapshots.length > 0) lines.push(...snapshotLines(snapshots))
  const details = report['format-specific'] as { readonly data: Json } | undefined
  if (details) lines.push('Format specific information:', ...tree(details.data, 1))
  const [{ info: node }] = report.children as unknown as [{ readonly info: Report }]
  lines.push(
    "Child node '/file':",
    `    filename: ${node.filename}`,
    `    protocol type: ${node.format}`,
    `    file length: ${humanSize(node['virtual-size'] as bigint)} (${node['virtual-size']} bytes)`,
    `    disk size: ${humanSize(node['actual-size'] as bigint)}`,
  )
  return `${lines.join('\n')}\n`
}

/** The lines of a value with members, indented by its level. */
function tree(value: Json, level: number): string[] {
  const members: [string, Json][] = Array.isArray(value)
    ? value.map((each, index) => [`[${index}]`, each])
    : ordered(value as { readonly [key: string]: Json })
  const indent = ' '.repeat(4 * level)
  return members.flatMap(([key, each]) => {
    const name = `${indent}${Array.isArray(value) ? key : key.replaceAll('-', ' ')}:`
    return typeof each === 'object' ? [name, ...tree(each, level + 1)] : [`${name} ${each}`]
  })
}
