import { optionsIn, signalIn, text } from '../base/arguments.js'
import { Qcow2Error } from '../base/errors.js'
import type { RequestOptions } from '../base/progress.js'
import { measure, ready } from '../base/storage/access.js'
import type { Storage } from '../base/storage/contract.js'
import { compareFiles, isPassing, renamed, samplesOf, withChosen, withSamples } from '../storage/identity.js'
import { sampleHash } from '../storage/samples.js'
import { type Source, storageOf } from '../storage/source.js'

/** What the app knows about a base. */
export interface BaseOptions {
  /**
   * Names the base's content, such as `debian-12.4`: the app guarantees that files with this name and the same length are the same, and
   * what has another is another. Then no tag and no date counts, and no samples are read. 1 to 128 characters.
   */
  readonly identity?: string | undefined
}

/** The base of an overlay, open: what it is, and whether it is what an overlay was made over. */
export class Base {
  /** What it is now, without samples. */
  readonly identity: string
  readonly #storage: Storage
  readonly #signal: AbortSignal | undefined
  #samples: Promise<string | undefined> | undefined

  private constructor(storage: Storage, identity: string, signal: AbortSignal | undefined) {
    this.#storage = storage
    this.identity = identity
    this.#signal = signal
  }

  /** Asks a storage that is open what it is. */
  static async of(
    storage: Storage,
    name?: string,
    { identity: chosen }: BaseOptions = {},
    signal?: AbortSignal,
  ): Promise<Base> {
    const known = storage.identity?.() ?? `base#size=${await measure(storage)}`
    const named = name === undefined ? known : renamed(known, name)
    return new Base(storage, chosen === undefined ? named : withChosen(named, chosen), signal)
  }

  /** What an overlay records of it: with samples, where a tag or a date could become another without the bytes. */
  async recorded(): Promise<string> {
    const hash = isPassing(this.identity) ? await this.#hash() : undefined
    return hash === undefined ? this.identity : withSamples(this.identity, hash)
  }

  /** Compares it with what an overlay has recorded. `again` is the same file, by its samples, in another state. */
  async compare(recorded: string): Promise<'same' | 'again' | 'another'> {
    const verdict = compareFiles(recorded, this.identity)
    if (verdict !== 'undecided') return verdict
    const were = samplesOf(recorded)
    return were !== undefined && were === (await this.#hash()) ? 'again' : 'another'
  }

  #hash(): Promise<string | undefined> {
    this.#samples ??= measure(this.#storage).then((size) => sampleHash(this.#storage, size, this.#signal))
    return this.#samples
  }
}

/**
 * Returns whether a file is the base that an overlay was made over, by the name that the overlay has recorded for it: the same
 * length and state, by {@link sameFile}, or where only a tag or a date differ, the same samples of its content.
 *
 * The file is opened for this, and closed again. Samples take up to 35 requests for 448 KiB.
 *
 * @param recorded the name of the backing file; if it records no state, every file can be the base.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT`, `STORAGE` and others; or the signal's reason.
 *
 * @example
 * ```ts
 * const { backingFile } = await inspect(local)
 * if (backingFile !== undefined && !(await sameBase(backingFile, base))) ask('The base has changed. Use it all the same?')
 * ```
 */
export async function sameBase(
  recorded: string,
  base: Source,
  options: RequestOptions & BaseOptions = {},
): Promise<boolean> {
  const [signal, { identity }] = [signalIn(options), optionsIn(options)]
  const name = text(recorded, 'recorded')
  const storage = storageOf(base, 'The base')
  await ready(storage, { signal })
  try {
    const now = await Base.of(storage, undefined, { identity }, signal)
    return (await now.compare(name)) !== 'another'
  } finally {
    await storage.close?.()
  }
}

/** The error where a base, by what it is `now`, is not the one that an overlay was made over. */
export function changedBase(recorded: string, now: string): Qcow2Error {
  const what = `The base has changed since the overlay was made over it: it was ${recorded}, and is ${now}`
  const sampled = compareFiles(recorded, now) === 'undecided' && samplesOf(recorded) !== undefined
  const why = sampled ? '; samples of its content differ too' : ''
  const how =
    'Supply the base as it was. An app that deploys its base again names the content when it makes overlays ' +
    "(base: { identity: 'debian-12.4' }). If you know that the bytes are the same, open with acceptChangedBase: true"
  return new Qcow2Error('FILE_CHANGED', `${what}${why}. ${how}.`)
}
