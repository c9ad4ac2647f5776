/** What was done through an open image or snapshot since it was opened. */
export interface Statistics {
  /** How many reads of the disk there were, of any length. */
  readonly reads: number
  /** How many bytes they were for. */
  readonly bytesRead: number
  /** How many of the reads asked no storage for anything: all bytes were zeros, or in a cache. */
  readonly cacheHits: number
  /** How many writes of the disk there were, compressed ones included. */
  readonly writes: number
  /** How many bytes they stored. */
  readonly bytesWritten: number
  /** What the storages of the whole chain were asked for, also by other handles on the same open image. */
  readonly storage: StorageStatistics
}

/** What storages were asked for. */
export interface StorageStatistics {
  /** How many times they were asked to read. */
  readonly reads: number
  /** How many bytes they were asked to read. */
  readonly bytesRead: number
  /** How many times they were asked to write. */
  readonly writes: number
  /** How many bytes they were asked to write. */
  readonly bytesWritten: number
  /** How many times they were asked to make durable what was written. */
  readonly flushes: number
}

/** Counters that count. */
export type Counters<T> = { -readonly [K in keyof T]: T[K] }

/** Counters of storages, at the beginning. */
export function storageCounters(): Counters<StorageStatistics> {
  return { reads: 0, bytesRead: 0, writes: 0, bytesWritten: 0, flushes: 0 }
}
