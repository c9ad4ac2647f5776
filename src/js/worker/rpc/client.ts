import { engineModule, engineWorker } from '../../base/beside.js'
import { configured } from '../../base/configuration.js'
import { invalidArgument, Qcow2Error } from '../../base/errors.js'
import { missingFileAdvice, movedFile } from '../../base/package-file.js'
import { startWorker } from '../../base/start-worker.js'
import { type Message, protocolVersion } from './messages.js'
import { Port, type Served } from './port.js'
import { type StorageMethods, StorageTable } from './storages.js'

/** Where the worker's script is in the package. */
const path = 'dist/worker/worker.js'

/** What a page asks of a worker before all else. */
export interface BeginMethods {
  /**
   * The first of all calls.
   *
   * @param version the version of the page's protocol; the worker refuses another than its own.
   * @param lock the Web Lock that the worker is to hold for as long as it lives, if there are such locks.
   */
  begin(version: number, lock: string | undefined): void
}

/** What a worker may ask of the page. */
export interface PageMethods extends StorageMethods {
  /** Calls a function that the page provides, by its number. */
  invoke(callback: number, args: readonly unknown[]): unknown
}

/** How long the package's worker stays after its last user, in milliseconds: to start one takes far longer than to open an image. */
const idleTime = 5000

/** How long a worker may take until it answers, in milliseconds: its script may come over a slow network. */
const patience = 60_000

/**
 * The page's side of a worker whose methods are `M`: of the package's own worker, which runs while it is used and a few
 * seconds longer, or of one of the caller's.
 */
export class Client<M extends object = object> {
  static #shared: Client | undefined
  static readonly #given = new WeakMap<Worker, Client>()
  /** To call the worker. */
  readonly port: Port<M & BeginMethods>
  /** The page's storages that the worker may use. */
  readonly storages = new StorageTable()
  /** The page's functions that the worker may call, by number. */
  readonly #functions = new Map<number, (...args: readonly unknown[]) => unknown>()
  readonly #worker: Worker
  /** Owned by the package, which ends it. */
  readonly #own: boolean
  /** The worker holds it for as long as it lives: nothing else shows that a worker is gone. It may be gone before it does. */
  readonly #lock = globalThis.navigator?.locks ? `qcow2-web/worker/${crypto.randomUUID()}` : undefined
  readonly #watch = new AbortController()
  /** Resolves when the worker answers, and its end is noticed; rejects if that comes first. Awaited before all other calls. */
  readonly begun: Promise<void>
  #answers = false
  #users = 0
  /** Ends the worker when it was idle for a while. */
  #idle: ReturnType<typeof setTimeout> | undefined
  #numbers = 0

  /** That of `worker`, or of the one that runs, or of a new one; the caller calls `release` in the end. */
  static acquire<M extends object>(worker?: Worker): Client<M> {
    const client = worker ? Client.#of(worker) : Client.#running()
    client.#users += 1
    clearTimeout(client.#idle)
    return client as Client as Client<M>
  }

  /** A worker of the package for this user alone; the caller calls `release` in the end. */
  static start<M extends object>(): Client<M> {
    const client = new Client<M>(undefined)
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
    this.#worker = worker ?? started()
    this.port = new Port((message, transfer) => this.#worker.postMessage(message, transfer), this.#methods)
    this.#worker.addEventListener('message', ({ data }: MessageEvent<Message>) => {
      // A caller's own worker may send other messages too.
      if (!data?.qcow2) return
      // Its users go on as far as possible; the next user gets a new one.
      if (isEngineFailure(data) && Client.#shared === this) Client.#shared = undefined
      this.port.hear(data)
    })
    this.#worker.addEventListener('messageerror', () => this.#die('it was not understood'))
    this.#worker.addEventListener('error', ({ message }) => {
      // What goes wrong later is not in this package's part of it.
      if (!this.#answers) this.#die(message || 'its script could not be loaded')
    })
    this.begun = this.#begin()
    this.begun.catch(() => {})
  }

  /** Lets the worker call a function, by the number that this returns, until `withdraw` takes that. */
  provide(callback: (...args: readonly unknown[]) => unknown): number {
    const number = this.number()
    this.#functions.set(number, callback)
    return number
  }

  /** The worker may call the function of this number no longer. */
  withdraw(number: number): void {
    this.#functions.delete(number)
  }

  /** A number that nothing else has. */
  number(): number {
    this.#numbers += 1
    return this.#numbers
  }

  /** Lets the worker end if it has no other user: the shared one a while later. */
  release(): void {
    this.#users -= 1
    if (this.#users > 0 || !this.#own) return
    const end = () => this.#end(new Qcow2Error('CLOSED', 'The worker is not in use any more.'))
    if (Client.#shared === this) this.#idle = setTimeout(end, idleTime)
    else end()
  }

  /** What the worker may call. */
  get #methods(): Served<PageMethods> {
    const invoke = (callback: number, args: readonly unknown[]) => this.#functions.get(callback)?.(...args)
    return { ...this.storages.methods, invoke }
  }

  async #begin(): Promise<void> {
    // It may have ended before it took the lock, one of the caller's long ago, which nothing shows.
    const timer = setTimeout(() => this.#die('it does not answer'), patience)
    try {
      const port: Port<BeginMethods> = this.port
      await port.call('begin', [protocolVersion, this.#lock])
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

function isEngineFailure(message: Message): boolean {
  return message.qcow2 === 'error' && 'code' in message.error && message.error.code === 'ENGINE_FAILED'
}

function started(): Worker {
  try {
    return startWorker(configured.engine.worker ?? movedFile(engineModule(), path), engineWorker)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Qcow2Error('WORKER_DIED', notStarted(why, true), { cause })
  }
}

function gone(why: string): string {
  return `The worker of qcow2-web is gone: ${why}. Open again what it had open, and begin again what it was doing.`
}

function notStarted(why: string, own: boolean): string {
  return `The worker of qcow2-web did not start: ${why}. ${own ? ownAdvice() : givenAdvice}`
}

const givenAdvice = 'Give one that runs, and whose script imports qcow2-web/worker.'

function ownAdvice(): string {
  if (configured.engine.worker === undefined) return `Try again. ${missingFileAdvice('worker', path, engineModule())}`
  return 'Try again, and see that what configure() was given for `worker` starts one.'
}
