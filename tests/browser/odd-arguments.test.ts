import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type OddCalls, oddCalls } from '../js/helpers/odd.js'
import { StorageLab, type Work } from './storage-lab.js'

const lab = new StorageLab()
beforeAll(() => lab.start())
afterAll(() => lab.stop())

/** Tries the storages that only browsers have; returns the errors that are no refusals, by function. */
const attempt: Work<[makeOddCalls: string], Record<string, readonly string[]>> = async (qcow2, makeOddCalls) => {
  const { bestStorage, capabilities, estimate, idb, isQcow2Error, opfs, persist, Qcow2 } = qcow2
  // biome-ignore lint/security/noGlobalEval: the text of a function of this project
  const make = globalThis.eval(`(${makeOddCalls})`) as typeof oddCalls
  const odd: OddCalls = make((error) => isQcow2Error(error) && error.kind !== 'engine')
  const { signal } = new AbortController()
  const watch = { signal, onProgress: () => {} }
  const claim = { takeOver: false, onTakeOver: () => {}, signal }

  /** Opens a storage as an image would, and closes it. */
  const use = async (storage: ReturnType<typeof opfs>) => {
    await storage.open?.({ writable: true })
    await storage.close?.()
  }
  const importing = async (path: string, ...rest: [Blob]) => {
    await opfs.import(path, ...rest)
    await opfs.delete(path)
  }

  // biome-ignore lint/suspicious/noExplicitAny: a call is given what it does not take
  type Given = any
  const calls: Record<string, readonly [() => readonly unknown[], (...args: Given[]) => unknown]> = {
    opfs: [() => ['odd', { create: true, ...claim }], (...args) => use(opfs(...(args as [Given])))],
    'opfs.list': [() => ['.'], (...args) => opfs.list(...args)],
    'opfs.file': [() => ['odd'], (...args) => opfs.file(...(args as [Given]))],
    'opfs.rename': [() => ['none', 'other'], (...args) => opfs.rename(...(args as [Given, Given]))],
    'opfs.delete': [() => ['none'], (...args) => opfs.delete(...(args as [Given]))],
    'opfs.export': [() => ['odd', new WritableStream(), watch], (...args) => opfs.export(...(args as [Given, Given]))],
    'opfs.import': [
      () => ['imported', new Blob(['odd']), { overwrite: true, ...watch }],
      (...args) => importing(...(args as [Given, Given])),
    ],
    idb: [() => ['odd', { budget: 2 ** 20, ...claim }], (...args) => use(idb(...(args as [Given])))],
    'idb.delete': [() => ['none'], (...args) => idb.delete(...(args as [Given]))],
    bestStorage: [
      () => ['best', claim],
      async (...args) => use((await bestStorage(...(args as [Given]))).storage as Given),
    ],
    capabilities: [() => [], capabilities],
    estimate: [() => [], estimate],
    persist: [() => [], persist],
  }
  const wrong: Record<string, readonly string[]> = {}
  for (const [name, [args, call]] of Object.entries(calls)) {
    const problems = await odd.attempt(args, call)
    if (problems.length > 0) wrong[name] = problems
  }

  // The files that were named are not locked, and the engine works on.
  for (const storage of [opfs('odd', { create: true }), idb('odd')]) {
    const image = await Qcow2.create(storage, { size: 65536, overwrite: true })
    await image.write(5, new Uint8Array([1, 2, 3]))
    if (String(await image.read(5, 3)) !== '1,2,3') throw new Error('The image does not work.')
    await image.close()
  }
  await opfs.delete('odd')
  await idb.delete('odd')
  return wrong
}

describe('a storage of the browser refuses what it cannot take', () => {
  it('on a page', async () => {
    expect(await lab.onPage(attempt, String(oddCalls))).toEqual({})
  })

  it('in a worker', async () => {
    expect(await lab.inWorker(attempt, String(oddCalls))).toEqual({})
  })
})
