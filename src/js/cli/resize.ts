import { isQcow2Error } from '../index.js'
import { Arguments } from './arguments.js'
import type { Command } from './command.js'
import type { RawDisk, SourceDisk } from './disk.js'
import { Failure, UsageError } from './failure.js'
import { checkedSize } from './format-options.js'
import { imageSpec, openImage } from './open.js'
import { readSecrets } from './secrets.js'
import { maxSize } from './sizes.js'

const modes = ['off', 'metadata', 'falloc', 'full'] as const
type Preallocation = (typeof modes)[number]

/** `resize`: gives a disk another size. */
export const resize: Command = {
  summary: 'Gives a disk another size.',
  usage:
    'resize [-f FMT | --image-opts] [--preallocation PREALLOC] [--shrink] [-q] [--object OBJDEF] FILENAME [+-]SIZE',
  options: {
    quiet: { short: 'q', long: 'quiet' },
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    shrink: { long: 'shrink' },
    preallocation: { long: 'preallocation', takesValue: true },
    object: { long: 'object', takesValue: true },
  },
  // A size may begin with a sign.
  trailing: /^-\d/,
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const asked = args.value('preallocation') ?? 'off'
    const preallocation = modes.find((each) => each === asked)
    if (!preallocation) throw new Failure(`Invalid preallocation mode '${asked}'`)
    const size = args.operands.at(-1) ?? ''
    const [name] = args.operands
    if (args.operands.length < 2) throw new UsageError('Expecting image file name and size')
    if (name === undefined || args.operands.length > 2) throw new UsageError('Extra argument(s) in command line')
    const { format, imageOpts } = args.source()
    const secrets = readSecrets(host, args.all('object'))
    const sign = size[0] === '+' ? 1n : size[0] === '-' ? -1n : 0n
    const amount = checkedSize(sign === 0n ? size : size.slice(1), 'size')
    const disk = await openImage(host, imageSpec(name, format, imageOpts), { writable: true, secrets })
    try {
      const before = BigInt(disk.size)
      const after = sign === 0n ? amount : before + sign * amount
      if (after <= 0n || after > maxSize) throw new Failure('New image size must be positive')
      if (after <= before && preallocation !== 'off')
        throw new Failure('Preallocation can only be used for growing images')
      if (after < before && !args.has('shrink')) {
        host.err(
          'qemu-img: Use the --shrink option to perform a shrink operation.\nqemu-img: warning: Shrinking an image will delete ' +
            "all data beyond the shrunken image's end. Before performing such an operation, make sure there is no important " +
            'data there.\n',
        )
        return 1
      }
      await change(disk, after, preallocation)
    } finally {
      await disk.close()
    }
    if (!args.has('quiet')) host.out('Image resized.\n')
    return 0
  },
}

async function change(disk: SourceDisk, size: bigint, preallocation: Preallocation): Promise<void> {
  const { qcow2 } = disk
  if (!qcow2) {
    if (preallocation === 'metadata') throw new Failure('Unsupported preallocation mode: metadata')
    const before = disk.size
    await (disk as RawDisk).resize(Number(size))
    if (preallocation !== 'off') await disk.writeZeroes(before, Number(size) - before)
    return
  }
  if (size % 512n !== 0n) throw new Failure('The new size must be a multiple of 512')
  const inconsistent = (await qcow2.bitmaps.list()).find(({ inUse }) => inUse)
  if (inconsistent) {
    throw new Failure(
      `Bitmap '${inconsistent.name}' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this bitmap from disk`,
    )
  }
  const mode = preallocation === 'falloc' ? 'full' : preallocation
  try {
    await qcow2.resize(size, { shrink: true, preallocation: mode })
  } catch (error) {
    if (!isQcow2Error(error)) throw error
    if (error.code === 'RESIZE_NEEDS_VERSION_3') throw new Failure("Can't resize a v2 image which has snapshots")
    if (error.code === 'DISK_TOO_LARGE') throw new Failure('Failed to grow the L1 table: File too large')
    throw error
  }
}
