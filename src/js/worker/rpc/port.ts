import { onAbort } from '../../base/abort.js'
import { invalidArgument, Qcow2Error } from '../../base/errors.js'
import type { LongOptions, Progress } from '../../base/progress.js'
import type { Call, Message } from './messages.js'
import { fromThrown, type Thrown, toThrown } from './thrown.js'

/** The methods of one side as it implements them: the last parameter is how the call is watched. */
export type Served<M> = {
  readonly [K in keyof M]: M[K] extends (...args: infer A) => infer R
    ? (...args: [...A, LongOptions]) => Answer<R> | Promise<Answer<R>>
    : never
}

type Answer<R> = R | Moved<R>

/** A value whose memory goes to the other side, and is gone here. */
export class Moved<R> {
  constructor(
    readonly value: R,
    readonly transfer: readonly Transferable[],
  ) {}
}

/** Bytes to move: the caller no longer uses them. */
export function moved<T extends Uint8Array | Float64Array>(array: T): Moved<T> {
  return new Moved(array, [array.buffer as ArrayBuffer])
}

/** How a call is made. */
export interface CallOptions extends LongOptions {
  /** What is gone here afterwards. */
  readonly transfer?: readonly Transferable[]
  /** An aborted call rejects only when the other side has ended it, and not before. */
  readonly patient?: boolean
}

/** The caller that waits for a call. */
interface Waiting {
  resolve(value: unknown): void
  reject(error: unknown): void
  progress(progress: Progress): void
}

/** One side of a connection: calls the methods of the other side, and answers its calls. */
export class Port<Theirs> {
  readonly #post: (message: Message, transfer: Transferable[]) => void
  readonly #own: Record<string, (...args: unknown[]) => unknown>
  readonly #waiting = new Map<number, Waiting>()
  /** The calls of the other side that it may cancel. */
  readonly #cancellable = new Map<number, AbortController>()
  #calls = 0
  #ended: { readonly error: unknown } | undefined

  constructor(post: (message: Message, transfer: Transferable[]) => void, own: object) {
    this.#post = post
    this.#own = own as Record<string, (...args: unknown[]) => unknown>
  }

  /** True from the moment that `end` was called. */
  get ended(): boolean {
    return this.#ended !== undefined
  }

  /**
   * Calls a method of the other side.
   *
   * @throws what the method throws, or with what the connection ended; or the signal's reason, or what `onProgress` throws.
   */
  call<M extends keyof Theirs & string>(
    method: M,
    args: Theirs[M] extends (...args: infer A) => unknown ? A : never,
    { signal, onProgress, transfer = [], patient = false }: CallOptions = {},
  ): Promise<Theirs[M] extends (...args: never) => infer R ? R : never> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      if (this.#ended) throw this.#ended.error
      this.#calls += 1
      const id = this.#calls
      let stopped: { readonly reason: unknown } | undefined
      const forget = () => {
        this.#waiting.delete(id)
        ignore()
      }
      const stop = (reason: unknown) => {
        if (stopped) return
        stopped = { reason }
        this.#post({ qcow2: 'cancel', id }, [])
        if (patient) return
        forget()
        reject(reason)
      }
      const ignore = onAbort(signal, () => stop(signal?.reason))
      this.#waiting.set(id, {
        resolve(value) {
          forget()
          if (stopped) reject(stopped.reason)
          else resolve(value as Parameters<typeof resolve>[0])
        },
        reject(error) {
          forget()
          reject(stopped ? stopped.reason : error)
        },
        progress(progress) {
          try {
            if (!stopped) onProgress?.(progress)
          } catch (exception) {
            stop(exception)
          }
        },
      })
      const [cancellable, watched] = [signal !== undefined || onProgress !== undefined, onProgress !== undefined]
      try {
        this.#post({ qcow2: 'call', id, method, args, cancellable, watched }, [...transfer])
      } catch (error) {
        forget()
        throw invalidArgument(`Something of it can't be given to a worker: ${(error as Error).message}`)
      }
    })
  }

  /** Takes what the other side has said. */
  hear(message: Message): void {
    if (message.qcow2 === 'call') void this.#answer(message)
    else if (message.qcow2 === 'cancel') this.#cancellable.get(message.id)?.abort()
    else if (message.qcow2 === 'value') this.#waiting.get(message.id)?.resolve(message.value)
    else if (message.qcow2 === 'error') this.#waiting.get(message.id)?.reject(fromThrown(message.error))
    else if (message.qcow2 === 'progress') this.#waiting.get(message.id)?.progress(message.progress)
  }

  /** The other side is gone: ends all calls, and all later ones, with `error`. */
  end(error: unknown): void {
    this.#ended = { error }
    for (const waiting of [...this.#waiting.values()]) waiting.reject(error)
    for (const controller of this.#cancellable.values()) controller.abort(error)
  }

  async #answer({ id, method, args, cancellable, watched }: Call): Promise<void> {
    const controller = cancellable ? new AbortController() : undefined
    if (controller) this.#cancellable.set(id, controller)
    const reporter = watched
      ? new Reporter((progress) => this.#post({ qcow2: 'progress', id, progress }, []))
      : undefined
    const options: LongOptions = { signal: controller?.signal, onProgress: reporter?.onProgress }
    try {
      const called = this.#own[method]
      if (!called) throw new Qcow2Error('WORKER_MISMATCH', `The other side does not know the method ${method}.`)
      const answer = await called(...args, options)
      reporter?.report()
      const { value, transfer } = answer instanceof Moved ? answer : new Moved(answer, [])
      this.#post({ qcow2: 'value', id, value }, [...transfer])
    } catch (exception) {
      const error: Thrown = toThrown(exception)
      this.#post({ qcow2: 'error', id, error }, [])
    } finally {
      this.#cancellable.delete(id)
    }
  }
}

/** Milliseconds between two reports. */
const pause = 20

/** Reports progress at intervals, because each report crosses. */
class Reporter {
  readonly #report: (progress: Progress) => void
  #last: Progress | undefined
  #reported = performance.now()

  constructor(report: (progress: Progress) => void) {
    this.#report = report
  }

  readonly onProgress = ({ done, total }: Progress): void => {
    this.#last = { done, total }
    if (performance.now() - this.#reported >= pause) this.report()
  }

  /** Reports what was not reported yet. */
  report(): void {
    if (this.#last) this.#report(this.#last)
    this.#last = undefined
    this.#reported = performance.now()
  }
}
