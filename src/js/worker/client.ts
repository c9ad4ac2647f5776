import { invalidArgument, isQcow2Error, Qcow2Error } from '../errors.js'
import type { Call, Hello, Methods, Reply } from './protocol.js'

/** Whom to tell what a call has come to. */
interface Waiting {
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** The page's side of the package's own worker, which runs while somebody uses it. */
export class Client {
  static #shared: Client | undefined
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  /** The worker holds it for as long as it lives: nothing else tells of a worker that is gone. */
  readonly #lock = `qcow2-web/worker/${crypto.randomUUID()}`
  readonly #watch = new AbortController()
  #users = 0
  #calls = 0
  #ended: Qcow2Error | undefined

  /** The one that runs, or a new one; whoever gets it calls `release` in the end. */
  static acquire(): Client {
    const client = !Client.#shared || Client.#shared.ended ? new Client() : Client.#shared
    client.#users += 1
    Client.#shared = client
    return client
  }

  private constructor() {
    if (typeof Worker !== 'function') throw invalidArgument('There are no workers here, which access handles live in.')
    // Literally so: bundlers look for these words.
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
    this.#worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => this.#hear(data))
    this.#worker.addEventListener('error', ({ message }) => this.#die(message || 'its script could not be loaded'))
    this.#worker.postMessage({ alive: this.#lock } satisfies Hello)
  }

  /** True when there is no worker behind it any more. */
  get ended(): boolean {
    return this.#ended !== undefined
  }

  /**
   * Calls a method in the worker; arrays in `transfer` are gone afterwards.
   *
   * @throws {@link Qcow2Error} what the method throws, or `WORKER_DIED`; or the signal's reason, at once.
   */
  call<M extends keyof Methods>(
    method: M,
    args: Parameters<Methods[M]>,
    { signal, transfer = [] }: { readonly signal?: AbortSignal; readonly transfer?: ArrayBuffer[] } = {},
  ): Promise<Awaited<ReturnType<Methods[M]>>> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      if (this.#ended) throw this.#ended
      this.#calls += 1
      const id = this.#calls
      const forget = () => {
        this.#waiting.delete(id)
        signal?.removeEventListener('abort', abort)
      }
      // Nobody hears the answer then; what the worker does with an access handle can't be interrupted.
      const abort = () => {
        forget()
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', abort)
      this.#waiting.set(id, {
        resolve(value) {
          forget()
          resolve(value as Awaited<ReturnType<Methods[M]>>)
        },
        reject(error) {
          forget()
          reject(error)
        },
      })
      this.#worker.postMessage({ id, method, args } satisfies Call, transfer)
    })
  }

  /** Lets the worker end if nobody else uses it. */
  release(): void {
    this.#users -= 1
    if (this.#users === 0) this.#end(new Qcow2Error('CLOSED', 'The worker is not in use any more.'))
  }

  #hear(reply: Reply): void {
    if ('ready' in reply) {
      const gone = () => this.#die('it ended')
      navigator.locks.request(this.#lock, { signal: this.#watch.signal }, gone).catch(() => {})
      return
    }
    const waiting = this.#waiting.get(reply.id)
    if ('value' in reply) {
      waiting?.resolve(reply.value)
      return
    }
    // For its effect: an error of this package gets its class back.
    isQcow2Error(reply.error)
    waiting?.reject(reply.error)
  }

  #die(why: string): void {
    this.#end(new Qcow2Error('WORKER_DIED', `The worker of qcow2-web is gone: ${why}. Open the image again.`))
  }

  #end(error: Qcow2Error): void {
    if (this.#ended) return
    this.#ended = error
    this.#watch.abort()
    this.#worker.terminate()
    for (const { reject } of [...this.#waiting.values()]) reject(error)
  }
}
