import { expect, test } from 'vitest'
import { onAbort, whenAborted } from '../../src/js/base/abort.js'
import { countedSignal } from './helpers/listeners.js'

test('requests that share a signal share its listener, and the last one takes it away', () => {
  const { signal, listeners } = countedSignal()
  const ignore = Array.from({ length: 100 }, () => whenAborted({ signal }, () => {}))
  expect(listeners()).toBe(1)
  for (const each of ignore.slice(1)) each()
  expect(listeners()).toBe(1)
  ignore[0]?.()
  ignore[0]?.()
  expect(listeners()).toBe(0)
})

test('a signal calls each request once and in order, and none that is over', () => {
  const { controller, signal, listeners } = countedSignal()
  const called: number[] = []
  const ignore = [1, 2, 3, 4].map((each) =>
    onAbort(signal, () => {
      called.push(each)
      // The one after it is over before its turn comes.
      if (each === 2) ignore[2]?.()
    }),
  )
  controller.abort()
  controller.abort()
  expect(called).toEqual([1, 2, 4])
  expect(listeners()).toBe(0)
})
