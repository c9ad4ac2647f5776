/** Where the script of a worker comes from: its address, or a function that starts a worker with it. */
export type WorkerSource = URL | string | (() => Worker)

/**
 * Starts a worker of the package: from `given`, or else by `start`. Browsers start no worker from the script of another
 * origin, such as a CDN's; a script of the page's own origin may import it, and one in a Blob is.
 */
export function startWorker(given: WorkerSource | undefined, start: () => Worker): Worker {
  if (typeof given === 'function') return given()
  const begin = given === undefined ? start : () => new Worker(given, { type: 'module' })
  try {
    return begin()
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'SecurityError')) throw error
    return importing(scriptOf(begin))
  }
}

/** A worker whose script is this text. */
export function workerOf(text: string, type: WorkerType): Worker {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }))
  const worker = new Worker(address, { type })
  const forget = () => URL.revokeObjectURL(address)
  for (const event of ['message', 'error']) worker.addEventListener(event, forget, { once: true })
  return worker
}

interface Script {
  readonly address: string
  readonly type: WorkerType
}

function importing({ address, type }: Script): Worker {
  const text = JSON.stringify(address)
  return workerOf(type === 'module' ? `import ${text}` : `importScripts(${text})`, type)
}

/**
 * Finds out which script `start` names, by giving it a `Worker` that starts nothing: bundlers put their own address into
 * the literal call and nowhere else.
 */
function scriptOf(start: () => Worker): Script {
  let script: Script | undefined
  const { Worker: native } = globalThis
  globalThis.Worker = class {
    constructor(address: string | URL, { type = 'classic' }: WorkerOptions = {}) {
      script = { address: new URL(address, globalThis.location?.href).href, type }
    }
  } as unknown as typeof Worker
  try {
    start()
  } finally {
    globalThis.Worker = native
  }
  if (!script) throw new Error('No script was named.')
  return script
}
