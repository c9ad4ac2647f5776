/** How much {@link readAhead} fetches and keeps; all in bytes. */
export interface ReadAheadOptions {
  /** What is kept at most, fetched or on its way; one request that is larger is fetched nevertheless. Default: 16 MiB. */
  readonly budget?: number | undefined
  /** The most that is fetched ahead of a sequential reader at a time. Default: 4 MiB, and never over a quarter of `budget`. */
  readonly window?: number | undefined
  /** Requests are widened to multiples of this, since neighbours are likely to be next. Default: 4 KiB. */
  readonly block?: number | undefined
  /** Requests made in the same turn, and no further apart than this, become one. Default: 64 KiB. */
  readonly gap?: number | undefined
}

/** {@link ReadAheadOptions} with every default filled in. */
export type ReadAheadLimits = { readonly [K in keyof ReadAheadOptions]-?: number }
