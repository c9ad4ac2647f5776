import { isQcow2Error } from '../index.js'
import { Arguments } from './arguments.js'
import type { Command } from './command.js'
import { Failure, UsageError } from './failure.js'
import { imageSpec, openImage, warnOfProbing } from './open.js'
import { readSecrets } from './secrets.js'
import { snapshotLines } from './snapshot-list.js'

const actions = ['list', 'create', 'apply', 'delete'] as const

/** `snapshot`: lists the snapshots in an image, takes one, goes back to one, or deletes one. */
export const snapshot: Command = {
  summary: 'Lists, takes, applies and deletes the snapshots in an image.',
  usage: 'snapshot [-f FMT | --image-opts] [-l | -a|-c|-d SNAPSHOT] [-q] [-U] [--object OBJDEF] FILENAME',
  options: {
    quiet: { short: 'q', long: 'quiet' },
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    forceShare: { short: 'U', long: 'force-share' },
    list: { short: 'l', long: 'list' },
    create: { short: 'c', long: 'create', takesValue: true },
    apply: { short: 'a', long: 'apply', takesValue: true },
    delete: { short: 'd', long: 'delete', takesValue: true },
    object: { long: 'object', takesValue: true },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const asked = parsed.options.map(([name]) => name).filter((name) => actions.some((each) => each === name))
    if (asked.length > 1) throw new UsageError("Cannot mix '-l', '-a', '-c', '-d'")
    const action = actions.find((each) => each === asked[0]) ?? 'list'
    const name = args.onlyOperand()
    const { format, imageOpts } = args.source()
    const secrets = readSecrets(host, args.all('object'))
    const writable = action !== 'list'
    const spec = imageSpec(name, format, imageOpts)
    if (writable && args.has('forceShare')) throw forceShare(name)
    const disk = await openImage(host, spec, { writable, secrets })
    try {
      if (action === 'list') {
        const snapshots = (await disk.qcow2?.snapshots.list()) ?? []
        if (snapshots.length > 0) host.out(`${snapshotLines(snapshots).join('\n')}\n`)
        return 0
      }
      const which = args.value(action) ?? ''
      const failed = (reason: string) => new Failure(`Could not ${action} snapshot '${which}': ${reason}`)
      const { qcow2 } = disk
      if (!qcow2) {
        // QEMU opens the file once more.
        if (action === 'apply' && disk.files[0]?.given === false) warnOfProbing(host, name)
        throw failed(onRaw[action])
      }
      try {
        if (action === 'create') await qcow2.snapshots.create(cut(which), { icount: 0n })
        else if (action === 'apply') {
          if ((await qcow2.bitmaps.list()).length > 0) throw failed('Device has active dirty bitmaps')
          await qcow2.snapshots.apply(which)
        } else {
          // Unlike the one to go back to, the one to delete is found by its name alone.
          const found = (await qcow2.snapshots.list()).find((each) => each.name === which)
          if (!found) throw failed('snapshot not found')
          await qcow2.snapshots.delete(found.id)
        }
      } catch (error) {
        if (error instanceof Failure) throw error
        throw failed(isQcow2Error(error) ? reasonOf(error.code, error.reason, action) : String(error))
      }
    } finally {
      await disk.close()
    }
    return 0
  },
}

const onRaw = {
  create: 'Operation not supported',
  apply: 'Block driver does not support snapshots',
  delete: 'snapshot not found',
}

function reasonOf(code: string, reason: string, action: 'create' | 'apply' | 'delete'): string {
  if (code === 'NO_SUCH_SNAPSHOT') {
    return action === 'delete' ? 'snapshot not found' : 'Failed to load snapshot: No such file or directory'
  }
  if (code === 'NO_SNAPSHOTS') return 'Operation not supported'
  if (code === 'REFCOUNT_LIMIT') return 'Invalid argument'
  return reason.replace(/\.$/, '')
}

/** An image that others may write is only read. */
export function forceShare(name: string): Failure {
  return new Failure(`Could not open '${name}': force-share=on can only be used with read-only images`)
}

/** The name that fits into a snapshot's record: 255 bytes. */
function cut(name: string): string {
  const bytes = new TextEncoder().encode(name)
  let end = Math.min(bytes.length, 255)
  while (end > 0 && end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return new TextDecoder().decode(bytes.subarray(0, end))
}
