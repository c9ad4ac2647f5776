import type { Storage } from 'qcow2-web'

/** Stands for a data file that is missing: every byte of it reads as zero. */
export function zeros(): Storage {
  return {
    size: () => Number.MAX_SAFE_INTEGER,
    read: async (_offset: number, length: number) => new Uint8Array(length),
  }
}
