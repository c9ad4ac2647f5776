import { isQcow2Error } from '../index.js'
import { Arguments, sizeArgument } from './arguments.js'
import type { Command } from './command.js'
import type { SourceDisk } from './disk.js'
import { Failure } from './failure.js'
import { imageSpec, openImage } from './open.js'
import { readSecrets } from './secrets.js'

const actions = ['add', 'remove', 'clear', 'enable', 'disable', 'merge'] as const
type Action = (typeof actions)[number]

/** `bitmap`: changes the dirty bitmaps in an image. */
export const bitmap: Command = {
  summary: 'Changes the dirty bitmaps in an image.',
  usage:
    'bitmap ( --merge SOURCE | --add | --remove | --clear | --enable | --disable ).. [-f FMT | --image-opts] ' +
    '[-b SRC_FILENAME [-F SOURCE_FMT]] [-g SIZE] [--object OBJDEF] FILENAME BITMAP',
  options: {
    source: { short: 'b', long: 'source-file', takesValue: true },
    sourceFormat: { short: 'F', long: 'source-format', takesValue: true },
    format: { short: 'f', long: 'format', takesValue: true },
    granularity: { short: 'g', long: 'granularity', takesValue: true },
    imageOpts: { long: 'image-opts' },
    add: { long: 'add' },
    remove: { long: 'remove' },
    clear: { long: 'clear' },
    enable: { long: 'enable' },
    disable: { long: 'disable' },
    merge: { long: 'merge', takesValue: true },
    object: { long: 'object', takesValue: true },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const granularity = args.value('granularity')
    const asGiven = granularity === undefined ? undefined : sizeArgument(granularity, 'granularity')
    const bytes = asGiven === 0n ? undefined : asGiven
    const asked = parsed.options.filter((option): option is [Action, string] =>
      actions.some((each) => each === option[0]),
    )
    const [name, bitmapName] = args.operands
    const has = (action: Action) => asked.some(([each]) => each === action)
    if (args.operands.length !== 2 || name === undefined || bitmapName === undefined) {
      if (asked.length > 0) throw new Failure('Expecting filename and bitmap name')
    }
    if (asked.length === 0) {
      throw new Failure('Need at least one of --add, --remove, --clear, --enable, --disable, or --merge')
    }
    if (bytes !== undefined && !has('add')) throw new Failure('granularity only supported with --add')
    const source = args.value('source')
    if (args.value('sourceFormat') !== undefined && source === undefined) throw new Failure('-F only supported with -b')
    if (source !== undefined && !has('merge')) throw new Failure('Merge bitmap source file only supported with --merge')
    const { format, imageOpts } = args.source()
    const secrets = readSecrets(host, args.all('object'))
    const disk = await openImage(host, imageSpec(name ?? '', format, imageOpts), {
      writable: true,
      secrets,
      noBacking: true,
    })
    let from: SourceDisk | undefined
    try {
      if (source !== undefined) {
        const spec = imageSpec(source, args.value('sourceFormat'), false)
        from = await openImage(host, spec, { secrets, noData: true, noBacking: true })
      }
      for (const [action, value] of asked) {
        await perform(disk, bitmapName ?? '', { action, source: value, from, granularity: bytes })
      }
    } finally {
      await from?.close()
      await disk.close()
    }
    return 0
  },
}

/** A change of a bitmap. */
interface Change {
  readonly action: Action
  /** The bitmap that is merged. */
  readonly source: string
  /** The image that has it. */
  readonly from: SourceDisk | undefined
  readonly granularity: bigint | undefined
}

async function perform(disk: SourceDisk, name: string, change: Change): Promise<void> {
  const failed = (reason: string) => new Failure(`Operation ${change.action} on bitmap ${name} failed: ${reason}`)
  const { qcow2 } = disk
  const { action, from } = change
  if (!qcow2) {
    if (action === 'add') throw failed("Can't store persistent bitmaps to #block: Operation not supported")
    throw failed(`Dirty bitmap '${name}' not found`)
  }
  if (action === 'add') checkNew(name, change.granularity, failed)
  try {
    const { bitmaps } = qcow2
    if (action === 'add')
      await bitmaps.create(name, {
        granularity: change.granularity === undefined ? undefined : Number(change.granularity),
      })
    else if (action === 'remove') await bitmaps.delete(name)
    else if (action === 'clear') await bitmaps.clear(name)
    else if (action === 'enable') await bitmaps.enable(name)
    else if (action === 'disable') await bitmaps.disable(name)
    else if (!from) await bitmaps.merge(name, change.source)
    else if (!from.qcow2) throw failed(`Dirty bitmap '${change.source}' not found`)
    else await bitmaps.merge(name, change.source, from.qcow2.bitmaps)
  } catch (error) {
    if (!isQcow2Error(error)) throw error
    const { code, reason } = error
    const named = /bitmap "(.*?)"/s.exec(reason)?.[1] ?? name
    const persistent = `Can't make bitmap '${name}' persistent in '#block': `
    if (code === 'NO_SUCH_BITMAP') throw failed(`Dirty bitmap '${named}' not found`)
    if (code === 'BITMAP_EXISTS') throw failed(`Bitmap already exists: ${name}`)
    if (code === 'BITMAP_INCONSISTENT') {
      throw failed(
        `Bitmap '${named}' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this bitmap from disk`,
      )
    }
    if (/version 2/.test(reason)) throw failed(`${persistent}Cannot store dirty bitmaps in qcow2 v2 files`)
    if (/1023 bytes/.test(reason)) throw failed(`${persistent}Name length exceeds maximum (1023 characters)`)
    if (/granularity/.test(reason)) throw failed(`${persistent}Granularity exceeds maximum (2147483648 bytes)`)
    throw failed(reason.replace(/\.$/, ''))
  }
}

function checkNew(name: string, granularity: bigint | undefined, failed: (reason: string) => Failure): void {
  if (name === '') throw failed('Bitmap name cannot be empty')
  if (granularity === undefined) return
  const isPower = (granularity & (granularity - 1n)) === 0n
  if (granularity < 512n || granularity > 0xffff_ffffn || !isPower) {
    throw failed('Granularity must be power of 2 and at least 512')
  }
}
