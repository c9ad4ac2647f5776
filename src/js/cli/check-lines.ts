import { closeSync, openSync, readSync } from 'node:fs'
import type { CheckReport, Finding } from '../index.js'
import type { ImageFile } from './image-file.js'

/** The lines about single findings, in QEMU's words and its order: refcounts first, then flags. */
export function findingLines(report: CheckReport, file: ImageFile, repair?: 'leaks' | 'all'): string {
  const image = openSync(file.path, 'r')
  try {
    const isFlag = ({ code }: Finding) => code === 'L1_COPIED' || code === 'L2_COPIED'
    const findings = [...report.findings.filter((each) => !isFlag(each)), ...report.findings.filter(isFlag)]
    return findings.map((each) => line(each, file, image, repair)).join('')
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
    default:
      return `ERROR: ${message.replace(/\.$/, '')}\n`
  }
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
