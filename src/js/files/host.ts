import { flag, integer } from '../base/arguments.js'
import { configured } from '../base/configuration.js'
import { invalidArgument } from '../base/errors.js'
import { nodeModule } from '../base/node.js'
import { missingFileAdvice, movedFile, packageFile } from '../base/package-file.js'
import { startWorker } from '../base/start-worker.js'
import { filesModule, filesScript, filesWorker } from './beside.js'
import type { FilesDisk } from './disk.js'
import { FilesError, type FilesErrorCode } from './errors.js'
import { compiledLuks, instantiateLuks } from './luks/crypto.js'
import { compiledFiles, instantiate } from './module.js'
import { type Answer, type Call, Parser, type Provided } from './parser.js'
import type { FromWorker, ToWorker } from './worker.js'

/** How volumes are read. */
export interface FilesOptions {
  /**
   * Whether each volume's parser runs in a worker of its own, where a corrupt file system can neither stop the page nor
   * harm another volume. Default: true, unless the disk can be read synchronously in this thread or there are no workers.
   */
  readonly worker?: boolean | undefined
  /**
   * How many milliseconds of computing one step of a call may take in the worker, before the worker is ended and the call
   * rejects with `TIMEOUT`. Time for reading the disk does not count. Default: 10,000.
   */
  readonly deadline?: number | undefined
}

/** Where the worker's script is in the package. */
const path = 'dist/files/worker.js'

const defaultDeadline = 10_000
/** The longest time that timers count. */
const longestDeadline = 2 ** 31 - 1

/** Throws unless the options are of their types. */
export function checkHow({ worker, deadline = defaultDeadline }: Partial<FilesOptions>): void {
  flag(worker, 'worker')
  if (integer(deadline, 'deadline', 1) > longestDeadline)
    throw invalidArgument(`deadline must be at most ${longestDeadline} milliseconds; it is ${deadline}.`)
}

/** Where a parser runs. One call at a time. */
export interface Host {
  call(call: Call, provided?: Provided): Promise<Answer>
  close(): void
}

/** Starts a parser over `disk`, in a worker or here; with the module for encrypted volumes if `decrypts` is true. */
export async function startHost(disk: FilesDisk, options: FilesOptions, decrypts: boolean): Promise<Host> {
  const [module, luks] = await Promise.all([compiledFiles(), decrypts ? compiledLuks() : undefined])
  const isSync = disk.sync === true && disk.readSync !== undefined
  if (options.worker ?? !isSync) {
    const thread = startThread()
    const start = { module, luks, size: disk.size }
    if (thread) return await WorkerHost.start(thread, start, options.deadline ?? defaultDeadline)
    if (options.worker) throw new FilesError('INVALID', 'There are no workers here.')
  }
  await instantiate(module)
  if (luks) await instantiateLuks(luks)
  const parser = new Parser(disk.size, isSync ? readSync(disk) : undefined)
  return { call: async (call, provided) => parser.call(call, provided), close() {} }
}

function readSync(disk: FilesDisk): (offset: number, into: Uint8Array) => boolean {
  return (offset, into) => {
    const bytes = disk.readSync?.(offset, into.length)
    if (bytes?.length !== into.length) return false
    into.set(bytes)
    return true
  }
}

/** A worker of a browser or of Node. */
export interface Thread {
  post(message: ToWorker): void
  listen(onMessage: (message: FromWorker) => void, onError: (error: unknown) => void): void
  terminate(): void
}

/** A parser in a worker, which is ended when it takes too long. */
export class WorkerHost implements Host {
  #waiting: { resolve(message: FromWorker): void; reject(error: unknown): void } | undefined
  #ended: FilesError | undefined

  private constructor(
    readonly thread: Thread,
    readonly deadline: number,
  ) {
    thread.listen(
      (message) => this.#waiting?.resolve(message),
      (cause) => this.#end(new FilesError('CRASHED', 'The worker for file systems ended.', { cause })),
    )
  }

  static async start(thread: Thread, start: ToWorker, deadline: number): Promise<Host> {
    const host = new WorkerHost(thread, deadline)
    try {
      // Loading the script may take long, and that means nothing about the volume.
      await host.#post(start, undefined)
    } catch (cause) {
      host.close()
      throw notStarted(cause)
    }
    return host
  }

  async call(call: Call, provided?: Provided): Promise<Answer> {
    // Copied and not moved: they may be the disk's own.
    // Deriving a key takes as long as the container demands; the caller can abort it.
    const deadline = call.method === 'unlock' ? undefined : this.deadline
    const message = await this.#post({ call, provided }, deadline)
    if (!('error' in message)) return message
    const { code, message: reason } = message.error
    const error = new FilesError(code as FilesErrorCode, reason)
    // The memory of a module that broke down is not to be used again.
    if (error.code === 'CRASHED') this.#end(error)
    throw error
  }

  close(): void {
    this.#end(new FilesError('CLOSED', 'The volume is closed.'))
  }

  async #post(message: ToWorker, deadline: number | undefined): Promise<FromWorker> {
    if (this.#ended) throw this.#ended
    let timer: ReturnType<typeof setTimeout> | undefined
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting = { resolve, reject }
        if (deadline !== undefined) timer = setTimeout(() => this.#end(tooLong()), deadline)
        this.thread.post(message)
      })
    } finally {
      clearTimeout(timer)
      this.#waiting = undefined
    }
  }

  #end(error: FilesError): void {
    if (this.#ended) return
    this.#ended = error
    this.thread.terminate()
    this.#waiting?.reject(error)
  }
}

function tooLong(): FilesError {
  return new FilesError('TIMEOUT', 'The file system took too long to read. It is likely corrupt.')
}

function startThread(): Thread | undefined {
  return typeof Worker === 'function' ? browserThread() : nodeThread()
}

function browserThread(): Thread {
  const worker = started()
  return {
    post: (message) => worker.postMessage(message),
    listen(onMessage, onError) {
      worker.addEventListener('message', ({ data }) => onMessage(data))
      worker.addEventListener('error', onError)
      worker.addEventListener('messageerror', onError)
    },
    terminate: () => worker.terminate(),
  }
}

function started(): Worker {
  try {
    return startWorker(configured.files.worker ?? movedFile(filesModule(), path), filesWorker)
  } catch (cause) {
    throw notStarted(cause)
  }
}

function notStarted(cause: unknown): FilesError {
  const advice = configured.files.worker === undefined ? ` ${missingFileAdvice('worker', path, filesModule())}` : ''
  return new FilesError('LOAD_FAILED', `The worker for file systems could not be started.${advice}`, { cause })
}

/** What is used of a worker of Node; declared here so that users of this package's types do not need Node's. */
interface NodeWorker {
  postMessage(message: ToWorker): void
  on(event: 'message', listener: (message: FromWorker) => void): void
  on(event: 'error', listener: (error: unknown) => void): void
  ref(): void
  unref(): void
  terminate(): void
}

function nodeThread(): Thread | undefined {
  const threads = nodeModule<{ Worker: new (script: URL) => NodeWorker }>('node:worker_threads')
  if (!threads) return undefined
  // Of Node's own class: bundlers for servers may replace the address by something else.
  const worker = new threads.Worker(new URL(packageFile(filesScript(), path)))
  // A volume that is left open does not keep the program running.
  worker.unref()
  return {
    post(message) {
      worker.ref()
      worker.postMessage(message)
    },
    listen(onMessage, onError) {
      worker.on('message', (message) => {
        worker.unref()
        onMessage(message)
      })
      worker.on('error', onError)
    },
    terminate: () => void worker.terminate(),
  }
}
