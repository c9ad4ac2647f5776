import { Arguments } from './arguments.js'
import type { Command } from './command.js'
import { createImage } from './create.js'
import { Failure } from './failure.js'
import { formatOptions } from './format-options.js'
import { imageSpec, openImage } from './open.js'
import { readSecrets } from './secrets.js'
import { parseSize } from './sizes.js'

/** `dd`: copies blocks of a disk into a new image. */
export const dd: Command = {
  summary: 'Copies blocks of a disk into a new image.',
  usage:
    'dd [-f FMT|--image-opts] [-O OUTPUT_FMT] [-U] [bs=BLOCK_SIZE] [count=BLOCKS] [skip=BLOCKS] if=INPUT of=OUTPUT',
  options: {
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    object: { long: 'object', takesValue: true },
    target: { short: 'O', long: 'output-format', takesValue: true },
    forceShare: { short: 'U', long: 'force-share' },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const target = args.value('target') ?? 'raw'
    const operands = readOperands(args.operands)
    const [input, output] = [operands.get('if'), operands.get('of')]
    if (input === undefined || output === undefined) throw new Failure('Must specify both input and output files')
    const { format, imageOpts } = args.source()
    const secrets = readSecrets(host, args.all('object'))
    const block = Number(operands.get('bs') ?? 512)
    const source = await openImage(host, imageSpec(input, format, imageOpts), { secrets })
    try {
      if (!formatOptions[target]) throw new Failure('Unknown file format')
      const count = operands.get('count')
      const skip = Number(operands.get('skip') ?? 0) * block
      const end = count === undefined ? source.size : Math.min(source.size, Number(count) * block)
      const size = Math.max(0, end - skip)
      if (skip > source.size) host.err(`qemu-img: ${input}: cannot skip to specified offset\n`)
      try {
        await createImage(host, { name: output, format: target, values: new Map([['size', String(size)]]), secrets })
      } catch (error) {
        if (!(error instanceof Failure)) throw error
        throw new Failure(`${output}: error while creating output image of type '${target}': ${error.message}`)
      }
      const into = await openImage(host, imageSpec(output, target, false), { writable: true, secrets })
      try {
        const most = Math.max(block, Math.floor((1024 * 1024) / block) * block)
        for (let at = 0; at < size; at += most) {
          const length = Math.min(most, size - at)
          await into.write(at, await source.read(skip + at, length))
        }
      } finally {
        await into.close()
      }
      return 0
    } finally {
      await source.close()
    }
  },
}

const names = ['bs', 'count', 'if', 'of', 'skip']

function readOperands(operands: readonly string[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const operand of operands) {
    const equals = operand.indexOf('=')
    const name = equals < 0 ? operand : operand.slice(0, equals)
    if (equals < 0 || !names.includes(name)) throw new Failure(`unrecognized operand ${name}`)
    const text = operand.slice(equals + 1)
    found.set(name, name === 'if' || name === 'of' ? text : String(number(name, text)))
  }
  return found
}

function number(name: string, text: string): bigint {
  // Only sizes may have a suffix.
  const value = name === 'bs' || /^\d+$/.test(text) ? parseSize(text) : 'invalid'
  if (value === 'invalid') throw new Failure(`Invalid ${name} specified: '${text}'.`)
  if (name === 'bs' && (value === 'range' || value < 1n || value > 2147483647n)) {
    throw new Failure('Invalid bs specified. Must be between 1 and 2147483647.')
  }
  return value === 'range' ? 0n : value
}
