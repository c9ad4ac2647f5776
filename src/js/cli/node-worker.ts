import { Worker as Thread, type Transferable as Transfer } from 'node:worker_threads'

/** Gives a thread what the script of a worker needs: `postMessage`, and listeners of messages. */
const bootstrap = `
  const { parentPort, workerData } = require('node:worker_threads')
  globalThis.self = globalThis
  globalThis.postMessage = (message, transfer) => parentPort.postMessage(message, transfer)
  globalThis.addEventListener = (type, listener) => type === 'message' && parentPort.on(type, (data) => listener({ data }))
  import(workerData)
`

/** A worker of the web as a thread of Node, as far as the package uses one: Node has no such workers. */
class NodeWorker {
  readonly #thread: Thread

  constructor(script: string | URL) {
    this.#thread = new Thread(bootstrap, { eval: true, workerData: String(script) })
  }

  postMessage(message: unknown, transfer: readonly Transfer[] = []): void {
    this.#thread.postMessage(message, transfer)
  }

  addEventListener(
    type: string,
    listener: (event: { readonly data?: unknown; readonly message?: string }) => void,
  ): void {
    if (type === 'message') this.#thread.on('message', (data) => listener({ data }))
    else if (type === 'error') this.#thread.on('error', (error: Error) => listener({ message: error.message }))
    else if (type === 'messageerror') this.#thread.on('messageerror', () => listener({}))
  }

  terminate(): void {
    void this.#thread.terminate()
  }
}

/** Lets the package start workers in this program. */
export function provideWorkers(): void {
  Object.assign(globalThis, { Worker: NodeWorker })
}
