/** The page's side of the worker: its operations, with an optional AbortSignal as their last argument. */

import { signal } from '@preact/signals'
import { proxy, transfer, wrap } from 'comlink'
import { Qcow2Error } from 'qcow2-web'
import { allow, isElsewhere, network } from '../network/page'
import type { Operations } from './operations'
import type { Source } from './source'
import type { Calls } from './worker'

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'qcow2-web' })
const remote = wrap<Calls>(worker)
let lastTask = 0

/** The worker could not even start: its script is missing, or the browser can't run it. */
export const workerFailure = new Promise<string>((resolve) => {
  worker.addEventListener('error', (event) => resolve(event.message || 'The worker of this page could not be started.'))
})

/** True from when a file turned out to be another one than was opened, until one is opened again. */
export const fileChanged = signal(false)

/** An operation as the page calls it. */
type Call<Operation> = Operation extends (...args: infer All) => infer Result
  ? (...args: All extends [...infer Given, AbortSignal] ? [...Given, signal?: AbortSignal] : All) => Result
  : never

/** The operations, each of which is carried out in the worker. They begin in the order of the calls. */
export const engine = new Proxy({} as { [Name in keyof Operations]: Call<Operations[Name]> }, {
  get:
    (_, name: keyof Operations) =>
    (...args: unknown[]) => {
      const last = args.at(-1)
      return last instanceof AbortSignal ? call(name, args.slice(0, -1), last) : call(name, args)
    },
})

/**
 * Operations that change the image, or how it is open. If one completes before its cancellation arrives, its result counts: the page
 * has to show the image as it is.
 */
const changes: ReadonlySet<keyof Operations> = new Set([
  'edit',
  'editInPlace',
  'lock',
  'copyUp',
  'save',
  'changeSnapshots',
  'changeKeySlots',
  'changeFiles',
  'unlockVolume',
  'repair',
])

async function call(name: keyof Operations, args: unknown[], signal?: AbortSignal): Promise<unknown> {
  signal?.throwIfAborted()
  const task = ++lastTask
  const cancel = () => void remote.cancel(task)
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    // Without a wait where none is needed, so that calls begin in their order.
    for (const source of args.filter(isElsewhereSource)) await permit(source)
    signal?.throwIfAborted()
    const result = await remote.call(task, name, ...args.map(crossing))
    if (!changes.has(name)) signal?.throwIfAborted()
    return result
  } catch (error) {
    // An error from the worker has lost its fields.
    const own = Qcow2Error.from(error)
    if (own?.code === 'FILE_CHANGED') fileChanged.value = true
    throw own ?? error
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

/** A callback stays here, and the worker calls it. */
const crossing = (argument: unknown) => (typeof argument === 'function' ? proxy(argument) : argument)

let connected: Promise<void> | null = null

/** Lets the worker fetch a file of another server. Only for an address that the person has given. */
export async function permit(source: Source): Promise<void> {
  if (!isElsewhereSource(source)) return
  if (!connected) {
    const port = network()
    connected = remote.useNetwork(transfer(port, [port]))
  }
  await connected
  await allow(source.url)
}

const isElsewhereSource = (argument: unknown): argument is { url: string } =>
  typeof argument === 'object' &&
  argument !== null &&
  'url' in argument &&
  typeof argument.url === 'string' &&
  isElsewhere(argument.url)
