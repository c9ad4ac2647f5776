import { invalidArgument, Qcow2Error } from '../../base/errors.js'
import { compiled } from '../../engine/module.js'
import { pageMethods } from '../page-methods.js'
import { Port } from './port.js'
import type { Message, WorkerMethods } from './protocol.js'

/** How long a worker may take until it answers, in milliseconds: its script may come over a slow network. */
const patience = 60_000

/** The page's side of a worker, the package's own one, which runs while somebody uses it, or one of the caller's. */
export class Client {
  static #shared: Client | undefined
  static readonly #given = new WeakMap<Worker, Client>()
  /** To call the worker. */
  readonly port: Port<WorkerMethods>
  /** What the worker may use of the page, by number. */
  readonly objects = new Map<number, unknown>()
  readonly #worker: Worker
  /** Nobody else's: the package ends it. */
  readonly #own: boolean
  /** The worker holds it for as long as it lives: nothing else tells of a worker that is gone. It may be gone before it does. */
  readonly #lock = globalThis.navigator?.locks ? `qcow2-web/worker/${crypto.randomUUID()}` : undefined
  readonly #watch = new AbortController()
  /** Resolves when the worker answers, and its end is noticed; rejects if that comes first. Awaited before all other calls. */
  readonly begun: Promise<void>
  #answers = false
  #users = 0
  #numbers = 0
  #loading: Promise<void> | undefined

  /** That of `worker`, or of the one that runs, or of a new one; whoever gets it calls `release` in the end. */
  static acquire(worker?: Worker): Client {
    const client = worker ? Client.#of(worker) : Client.#running()
    client.#users += 1
    return client
  }

  /** A worker of the package that nobody else uses; whoever gets it calls `release` in the end. */
  static start(): Client {
    const client = new Client(undefined)
    client.#users = 1
    return client
  }

  static #running(): Client {
    if (!Client.#shared || Client.#shared.port.ended) Client.#shared = new Client(undefined)
    return Client.#shared
  }

  /** Also if it has ended: it does not begin again. */
  static #of(worker: Worker): Client {
    const client = Client.#given.get(worker) ?? new Client(worker)
    Client.#given.set(worker, client)
    return client
  }

  private constructor(worker: Worker | undefined) {
    if (typeof Worker !== 'function') throw invalidArgument('There are no workers here.')
    this.#own = worker === undefined
    // Literally so: bundlers look for these words.
    this.#worker = worker ?? new Worker(new URL('../worker.js', import.meta.url), { type: 'module' })
    this.port = new Port((message, transfer) => this.#worker.postMessage(message, transfer), pageMethods(this.objects))
    this.#worker.addEventListener('message', ({ data }: MessageEvent<Message>) => {
      // A caller's own worker may say other things too.
      if (data?.qcow2) this.port.hear(data)
    })
    this.#worker.addEventListener('messageerror', () => this.#die('it was not understood'))
    this.#worker.addEventListener('error', ({ message }) => {
      // What goes wrong later is not in this package's part of it.
      if (!this.#answers) this.#die(message || 'its script could not be loaded')
    })
    this.begun = this.#begin()
    this.begun.catch(() => {})
  }

  /** Makes the engine ready in the worker, with the module that the page has. */
  load(): Promise<void> {
    this.#loading ??= Promise.all([compiled(), this.begun]).then(([module]) => this.port.call('load', [module]))
    // The next one tries again.
    this.#loading.catch(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  /** Lets the worker use an object of the page, by a number, until that is deleted from `objects`. */
  provide(what: unknown): number {
    const number = this.number()
    this.objects.set(number, what)
    return number
  }

  /** A number that nothing else has. */
  number(): number {
    this.#numbers += 1
    return this.#numbers
  }

  /** Lets the worker end if nobody else uses it. */
  release(): void {
    this.#users -= 1
    if (this.#users === 0 && this.#own) this.#end(new Qcow2Error('CLOSED', 'The worker is not in use any more.'))
  }

  async #begin(): Promise<void> {
    // It may have ended before it took the lock, one of the caller's long ago, which nothing tells.
    const timer = setTimeout(() => this.#die('it does not answer'), patience)
    try {
      await this.port.call('begin', [this.#lock])
    } finally {
      clearTimeout(timer)
    }
    this.#answers = true
    if (!this.#lock) return
    const gone = () => this.#die('it ended')
    navigator.locks.request(this.#lock, { signal: this.#watch.signal }, gone).catch(() => {})
  }

  #die(why: string): void {
    this.#end(new Qcow2Error('WORKER_DIED', this.#answers ? gone(why) : notStarted(why, this.#own)))
  }

  #end(error: Qcow2Error): void {
    if (this.port.ended) return
    this.#watch.abort()
    if (this.#own) this.#worker.terminate()
    this.port.end(error)
  }
}

function gone(why: string): string {
  return `The worker of qcow2-web is gone: ${why}. Open again what it had open, and begin again what it was doing.`
}

function notStarted(why: string, own: boolean): string {
  const advice = own
    ? 'Try again; if that fails too, see that the page can load the worker.js of the package.'
    : 'Give one that runs, and whose script imports qcow2-web/worker.'
  return `The worker of qcow2-web did not start: ${why}. ${advice}`
}
