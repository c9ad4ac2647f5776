/** The worker of the page: carries out the operations, and keeps the image's bytes until they are asked for. */

import { expose } from 'comlink'
import { init } from 'qcow2-web'
import { type Operations, operations } from './operations'
import { useNetwork } from './source'

/** What crosses: a name with its arguments. `task` names a call, so that `cancel` can end it. */
export interface Calls {
  call(task: number, name: keyof Operations, ...args: unknown[]): unknown
  cancel(task: number): void
  /** Takes the way to other servers, before the first file is fetched from one. */
  useNetwork(port: MessagePort): void
}

const tasks = new Map<number, AbortController>()

const calls: Calls = {
  async call(task, name, ...args) {
    const controller = new AbortController()
    tasks.set(task, controller)
    try {
      // The page's calls have the types of the operations (client.ts).
      const operation = operations[name] as (...args: unknown[]) => unknown
      return await operation(...args, controller.signal)
    } finally {
      tasks.delete(task)
    }
  },
  cancel: (task) => tasks.get(task)?.abort(),
  useNetwork,
}

// Compiled while the person chooses a file. A failure is reported when a file is opened.
void init().catch(() => {})
expose(calls)
