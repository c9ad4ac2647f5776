/** The script of the worker that a volume's parser runs in. */
import { nodeModule } from '../base/node.js'
import { fromModule } from './errors.js'
import { instantiateLuks } from './luks/crypto.js'
import { instantiate } from './module.js'
import { type Call, type FileExtent, Parser, type Provided } from './parser.js'

/** What the page posts: first the modules and the disk's size, then calls, one at a time. */
export type ToWorker =
  | { readonly module: WebAssembly.Module; readonly size: number; readonly luks: WebAssembly.Module | undefined }
  | { readonly call: Call; readonly provided?: Provided | undefined }

/** What the worker posts back for each of them. */
export type FromWorker =
  | { readonly value: unknown }
  | { readonly need: readonly [offset: number, length: number] }
  | { readonly error: { readonly code: string; readonly message: string } }

interface Scope {
  addEventListener(type: 'message', listener: (event: { readonly data: ToWorker }) => void): void
  postMessage(message: FromWorker, transfer?: Transferable[]): void
}

let parser: Parser | undefined

async function answer(message: ToWorker): Promise<FromWorker> {
  try {
    if ('module' in message) {
      await instantiate(message.module)
      if (message.luks) await instantiateLuks(message.luks)
      parser = new Parser(message.size)
      return { value: undefined }
    }
    return (parser as Parser).call(message.call, message.provided)
  } catch (thrown) {
    const { code, message } =
      thrown instanceof Error && 'code' in thrown ? (thrown as ReturnType<typeof fromModule>) : fromModule(thrown)
    return { error: { code, message } }
  }
}

function serve(): void {
  const scope = ownScope()
  scope.addEventListener('message', async ({ data }) => {
    const message = await answer(data)
    scope.postMessage(message, 'value' in message ? buffersOf(message.value) : [])
  })
}

/** What can be moved: the bytes of a file, or those of its extents. */
function buffersOf(value: unknown): ArrayBuffer[] {
  const bytes = Array.isArray(value) ? value.map((each: Partial<FileExtent>) => each.bytes) : [value]
  return bytes.flatMap((each) => (each instanceof Uint8Array ? [each.buffer as ArrayBuffer] : []))
}

/** What is used of the port of a worker of Node. */
interface ParentPort {
  on(event: 'message', listener: (message: ToWorker) => void): void
  postMessage(message: FromWorker, transfer?: Transferable[]): void
}

/** The scope of a browser's worker, or the port of one of Node. */
function ownScope(): Scope {
  const threads = nodeModule<{ parentPort: ParentPort | null }>('node:worker_threads')
  const port = threads?.parentPort
  if ('WorkerGlobalScope' in globalThis || !port) return globalThis as unknown as Scope
  return {
    addEventListener: (_, listener) => port.on('message', (data) => listener({ data })),
    postMessage: (message, transfer) => port.postMessage(message, transfer),
  }
}

serve()
