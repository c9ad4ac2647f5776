import { type CheckReport, check as checkImage, isQcow2Error, nodeFile, repair } from '../index.js'
import { Arguments, cacheMode } from './arguments.js'
import { findingLines } from './check-lines.js'
import type { Command } from './command.js'
import { Failure, UsageError } from './failure.js'
import { pretty } from './json.js'
import { filesOf, imageSpec, openFiles } from './open.js'
import { readSecrets } from './secrets.js'
import { forceShare } from './snapshot.js'

/** `check`: finds what is inconsistent in an image, and repairs it. */
export const check: Command = {
  summary: 'Checks and repairs the metadata of an image.',
  usage:
    'check [-f FMT | --image-opts] [-T CACHE_MODE] [-r leaks|all] [-q] [-U] [--output human|json] [--object OBJDEF] FILENAME',
  options: {
    quiet: { short: 'q', long: 'quiet' },
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    cache: { short: 'T', long: 'cache', takesValue: true },
    repair: { short: 'r', long: 'repair', takesValue: true },
    forceShare: { short: 'U', long: 'force-share' },
    output: { long: 'output', takesValue: true },
    object: { long: 'object', takesValue: true },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const what = args.value('repair')
    if (what !== undefined && what !== 'leaks' && what !== 'all') {
      throw new UsageError(`--repair (-r) expects 'leaks' or 'all' not '${what}'`)
    }
    const output = args.output()
    const name = args.onlyOperand()
    const { format, imageOpts } = args.source()
    cacheMode(args.value('cache') ?? 'writeback', true)
    const secrets = readSecrets(host, args.all('object'))
    const spec = imageSpec(name, format, imageOpts)
    if (what !== undefined && args.has('forceShare')) throw forceShare(name)
    const files = await filesOf(host, spec)
    const [file] = files
    if (file?.format !== 'qcow2') {
      if (file) await (await openFiles(host, spec, files, { writable: what !== undefined })).close()
      throw new Failure('This image format does not support checks', 63)
    }
    // An encrypted image is opened first, for which its secret is needed.
    if (file.inspection?.encryption) await (await openFiles(host, spec, files, { secrets })).close()
    const quiet = args.has('quiet')
    let report: CheckReport
    let fixed = { leaks: 0, corruptions: 0 }
    try {
      if (what === undefined) {
        report = await checkImage(nodeFile(file.path, { sync: true }), { maxFindings: 100_000 })
        host.err(findingLines(report, file))
      } else {
        const { before, after } = await repair(nodeFile(file.path, { sync: true }), what, {
          maxFindings: 100_000,
        })
        fixed = { leaks: before.leaks - after.leaks, corruptions: before.corruptions - after.corruptions }
        host.err(findingLines(before, file, what))
        report = after
        // An image without corruptions has its marks removed, whatever was repaired.
        if (what === 'leaks' && after.checkErrors + after.corruptions === 0) {
          await repair(nodeFile(file.path, { sync: true }), 'all')
        }
        if (before.leaks + before.corruptions > 0 && output === 'human' && fixed.leaks + fixed.corruptions > 0) {
          if (!quiet) {
            host.out(
              'The following inconsistencies were found and repaired:\n\n' +
                `    ${fixed.leaks} leaked clusters\n    ${fixed.corruptions} corruptions\n\n` +
                'Double checking the fixed image now...\n',
            )
          }
          host.err(findingLines(after, file))
        }
      }
    } catch (error) {
      if (error instanceof Failure || !isQcow2Error(error)) throw error
      // Opening reports it in the same words for every command.
      await (await openFiles(host, spec, files, { noData: true, secrets })).close()
      throw new Failure(`Check failed: ${error.reason.replace(/\.$/, '')}`)
    }
    if (output === 'json') host.out(`${pretty(json(report, fixed, name))}\n`)
    else if (!quiet) host.out(human(report))
    return exitCode(report)
  },
}

function exitCode({ checkErrors, corruptions, leaks }: CheckReport): number {
  if (checkErrors > 0) return 1
  if (corruptions > 0) return 2
  return leaks > 0 ? 3 : 0
}

function json(report: CheckReport, fixed: { leaks: number; corruptions: number }, filename: string) {
  const unlessZero = (value: number) => (value === 0 ? undefined : value)
  return {
    filename,
    format: 'qcow2',
    'check-errors': report.checkErrors,
    'image-end-offset': unlessZero(report.imageEndOffset),
    corruptions: unlessZero(report.corruptions),
    leaks: unlessZero(report.leaks),
    'corruptions-fixed': unlessZero(fixed.corruptions),
    'leaks-fixed': unlessZero(fixed.leaks),
    'total-clusters': unlessZero(report.totalClusters),
    'allocated-clusters': unlessZero(report.allocatedClusters),
    'fragmented-clusters': unlessZero(report.fragmentedClusters),
    'compressed-clusters': unlessZero(report.compressedClusters),
  }
}

function human(report: CheckReport): string {
  const { checkErrors, corruptions, leaks, totalClusters, allocatedClusters, imageEndOffset } = report
  let text = ''
  if (corruptions + leaks + checkErrors === 0) text += 'No errors were found on the image.\n'
  if (corruptions > 0) {
    text += `\n${corruptions} errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt it.\n`
  }
  if (leaks > 0) {
    text += `\n${leaks} leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n`
  }
  if (checkErrors > 0) text += `\n${checkErrors} internal errors have occurred during the check.\n`
  if (totalClusters !== 0 && allocatedClusters !== 0) {
    const percent = (part: number, of: number) => `${((part * 100) / of).toFixed(2)}%`
    text +=
      `${allocatedClusters}/${totalClusters} = ${percent(allocatedClusters, totalClusters)} allocated, ` +
      `${percent(report.fragmentedClusters, allocatedClusters)} fragmented, ` +
      `${percent(report.compressedClusters, allocatedClusters)} compressed clusters\n`
  }
  if (imageEndOffset > 0) text += `Image end offset: ${imageEndOffset}\n`
  return text
}
