import { closeSync, openSync, readSync } from 'node:fs'
import type { CheckReport, Finding } from '../index.js'
import type { ImageFile } from './image-file.js'

/** The lines about single findings, in QEMU's words and its order: refcounts first, then flags. */
export function findingLines(report: CheckReport, file: ImageFile, repair?: 'leaks' | 'all'): string {
  const image = openSync(file.path, 'r')
  try {
    const isFlag = ({ code }: Finding) => code === 'L1_COPIED' || code === 'L2_COPIED'
    const isCount = ({ code }: Finding) => code === 'LEAKED' || code === 'COUNT_TOO_LOW'
    const rest = report.findings.filter((each) => !isFlag(each) && !isCount(each))
    const [counts, flags] = [report.findings.filter(isCount), report.findings.filter(isFlag)]
    const lines = (findings: readonly Finding[], what?: 'leaks' | 'all') =>
      findings.map((each) => line(each, file, image, what)).join('')
    // Refcounts are compared once more to be repaired.
    const repaired = repair === undefined ? '' : lines(counts, repair)
    return lines(rest, repair) + lines(counts) + repaired + lines(flags, repair)
  } finally {
    closeSync(image)
  }
}

function line(finding: Finding, file: ImageFile, image: number, repair: 'leaks' | 'all' | undefined): string {
  const { code, offset, message } = finding
  const cluster = Math.floor(offset / 2 ** (file.inspection?.header?.clusterBits ?? 16))
  const numbers = [...message.matchAll(/(?<![\dxa-f])(\d+)(?![\dxa-f])/g)].map(([each]) => each)
  const [count, references] = numbers.slice(-2)
  const action = (fixes: boolean) => (repair === 'all' || (repair === 'leaks' && fixes) ? 'Repairing' : undefined)
  switch (code) {
    case 'LEAKED':
      return `${action(true) ?? 'Leaked'} cluster ${cluster} refcount=${count} reference=${references}\n`
    case 'COUNT_TOO_LOW':
      return `${action(false) ?? 'ERROR'} cluster ${cluster} refcount=${count} reference=${references}\n`
    case 'L2_COPIED':
      return `${action(false) ?? 'ERROR'} OFLAG_COPIED data cluster: l2_entry=${word(image, offset).toString(16)} refcount=${refcount(file, image, word(image, offset) & 0x00ff_ffff_ffff_fe00n)}\n`
    case 'L1_COPIED': {
      const index = (offset - Number(file.inspection?.header?.l1TableOffset ?? 0n)) / 8
      const entry = word(image, offset)
      return `${action(false) ?? 'ERROR'} OFLAG_COPIED L2 cluster: l1_index=${index} l1_entry=${entry.toString(16)} refcount=${refcount(file, image, entry & 0x00ff_ffff_ffff_fe00n)}\n`
    }
    case 'PAST_END': {
      const [, length, start] = /points to (\d+) bytes at (0x[\da-f]+)/.exec(message) ?? []
      const size = Number(length).toString(16)
      return `ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset ${start} size 0x${size}\n`
    }
    case 'CLUSTER_UNALIGNED':
      return `ERROR offset=${pointedTo(message)}: Data cluster is not properly aligned; L2 entry corrupted.\n`
    case 'L2_TABLE_UNALIGNED':
      return `ERROR l2_offset=${pointedTo(message)}: Table is not cluster aligned; L1 entry corrupted\n`
    case 'L2_RESERVED':
      return `ERROR found l2 entry with reserved bits set: ${word(image, offset).toString(16)}\n`
    case 'REFCOUNT_BLOCK_PAST_END':
      return `ERROR refcount block ${blockIndex(finding, file)} is outside image\n`
    case 'REFCOUNT_BLOCK_UNALIGNED':
      return `ERROR refcount block ${blockIndex(finding, file)} is not cluster aligned; refcount table entry corrupted\n`
    default:
      return `ERROR: ${message.replace(/\.$/, '')}\n`
  }
}

/** The offset that an entry points to, in hexadecimal. */
function pointedTo(message: string): string {
  return /points to 0x([\da-f]+)/.exec(message)?.[1] ?? ''
}

/** Which block an entry of the refcount table is about. */
function blockIndex({ offset }: Finding, file: ImageFile): number {
  return (offset - Number(file.inspection?.header?.refcountTableOffset ?? 0n)) / 8
}

/** The refcount of the cluster at an offset, as the file has it. */
function refcount(file: ImageFile, image: number, offset: bigint): bigint {
  const header = file.inspection?.header
  if (!header) return 0n
  const [clusterBits, order] = [BigInt(header.clusterBits), BigInt(header.version < 3 ? 4 : header.refcountOrder)]
  const index = offset >> clusterBits
  const perBlock = clusterBits + 3n - order
  const block = word(image, Number(header.refcountTableOffset + (index >> perBlock) * 8n)) & ~511n
  if (block === 0n) return 0n
  const bit = (index & ((1n << perBlock) - 1n)) << order
  const width = 1n << order
  if (width >= 8n) return word(image, Number(block + bit / 8n)) >> (64n - width)
  return (word(image, Number(block + bit / 8n)) >> (56n + (bit % 8n))) & ((1n << width) - 1n)
}

/** The big-endian word at an offset; zero past the end of the file. */
function word(image: number, offset: number): bigint {
  const bytes = Buffer.alloc(8)
  readSync(image, bytes, 0, 8, offset)
  return bytes.readBigUInt64BE()
}
