import type { Contents } from './contents'

/** Exactly `length` bytes of the disk. */
export type ReadBytes = (offset: number, length: number) => Promise<Uint8Array>

export interface Partition {
  number: number
  /** In bytes; inside the disk, unless `problem` explains otherwise. */
  start: number
  length: number
  kind: 'primary' | 'extended' | 'logical' | 'gpt'
  /** The type in words, e.g. "Linux file system". */
  type: string
  /** The type as recorded: "0x83", or a GUID. */
  typeId: string
  /** The name that a GPT entry carries. */
  name?: string
  bootable: boolean
  contents?: Contents
  problem?: string
}

export interface PartitionTable {
  scheme: 'gpt' | 'mbr' | 'none'
  sectorSize: number
  partitions: Partition[]
  problems: string[]
  /** Without a table: what starts at the disk's first byte, such as a file system over the whole disk. */
  contents?: Contents
}
