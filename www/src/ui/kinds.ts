import type { Kind } from '../engine/protocol'

/** What each kind of cluster is called, and what it means. */
export const KIND_NAMES: Record<Kind, string> = {
  unallocated: 'Unallocated',
  zero: 'Zero',
  data: 'Data',
  compressed: 'Compressed',
  backing1: 'From the backing file',
  backing2: 'From its backing file',
  backing3: 'From deeper in the chain',
}

export const KIND_MEANINGS: Record<Kind, string> = {
  unallocated: 'Nothing is stored for it; it reads as zeros.',
  zero: 'Marked as zeros, without being stored.',
  data: 'Stored as it is.',
  compressed: 'Stored compressed.',
  backing1: 'Not stored here: read from the backing file.',
  backing2: "Not stored here: read from the backing file's backing file.",
  backing3: 'Not stored here: read from the third or a deeper file of the chain.',
}
