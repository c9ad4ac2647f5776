import type { Extent } from '../index.js'
import { Arguments } from './arguments.js'
import type { Command } from './command.js'
import type { SourceDisk } from './disk.js'
import { Failure } from './failure.js'
import { imageSpec, openImage } from './open.js'
import { readSecrets } from './secrets.js'
import { hex } from './sizes.js'

/** `map`: shows where the data of a disk is stored. */
export const map: Command = {
  summary: 'Shows where the data of a disk is stored.',
  usage:
    'map [-f FMT | --image-opts] [--object OBJDEF] [--output human|json] [--start-offset OFFSET] [--max-length LENGTH] [-U] FILENAME',
  options: {
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    startOffset: { short: 's', long: 'start-offset', takesValue: true },
    maxLength: { short: 'l', long: 'max-length', takesValue: true },
    output: { long: 'output', takesValue: true },
    forceShare: { short: 'U', long: 'force-share' },
    object: { long: 'object', takesValue: true },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const output = args.output()
    const from = Number(args.size('startOffset', 'start offset') ?? 0n)
    const most = args.size('maxLength', 'max length')
    const name = args.onlyOperand()
    const { format, imageOpts } = args.source()
    const secrets = readSecrets(host, args.all('object'))
    const disk = await openImage(host, imageSpec(name, format, imageOpts), { secrets })
    try {
      const end = most === undefined ? disk.size : Math.min(disk.size, from + Number(most))
      if (output === 'json') {
        let separator = '['
        for await (const extent of merged(disk, from, end)) {
          host.out(separator + jsonLine(extent))
          separator = ',\n'
        }
        if (separator === '[') host.out(`[${jsonLine(nothing(from))}`)
        host.out(']\n')
        return 0
      }
      host.out(`${row('Offset', 'Length', 'Mapped to', 'File')}\n`)
      for await (const { start, length, depth, zero, data, offset } of merged(disk, from, end)) {
        if (data && offset === undefined) {
          throw new Failure('File contains external, encrypted or compressed clusters.')
        }
        if (!data || zero) continue
        const file = disk.files[depth]
        host.out(`${row(hex(start), hex(length), hex(offset ?? 0), file?.dataFile ?? file?.name ?? '')}\n`)
      }
      return 0
    } finally {
      await disk.close()
    }
  },
}

function row(offset: string, length: string, hostOffset: string, file: string): string {
  return `${offset.padEnd(16)}${length.padEnd(16)}${hostOffset.padEnd(16)}${file}`
}

/** The extents of a range; neighbours that differ in nothing are one. */
async function* merged(disk: SourceDisk, from: number, end: number): AsyncGenerator<Extent> {
  if (from >= end) return
  let last: Extent | undefined
  for await (const next of disk.map({ offset: from, length: end - from })) {
    if (last && continues(last, next)) last = { ...last, length: last.length + next.length }
    else {
      if (last) yield last
      last = next
    }
  }
  if (last) yield last
}

function continues(one: Extent, next: Extent): boolean {
  const same = (['depth', 'present', 'zero', 'data', 'compressed'] as const).every((key) => one[key] === next[key])
  return same && (one.offset === undefined ? next.offset === undefined : one.offset + one.length === next.offset)
}

/** What stands for an empty range. */
function nothing(start: number): Extent {
  return { start, length: 0, depth: 0, present: false, zero: false, data: false, compressed: false, offset: undefined }
}

function jsonLine({ start, length, depth, present, zero, data, compressed, offset }: Extent): string {
  const hostOffset = offset === undefined ? '' : `, "offset": ${offset}`
  const flags = `"present": ${present}, "zero": ${zero}, "data": ${data}, "compressed": ${compressed}`
  return `{ "start": ${start}, "length": ${length}, "depth": ${depth}, ${flags}${hostOffset}}`
}
