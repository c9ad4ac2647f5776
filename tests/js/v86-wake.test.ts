import { afterEach, expect, it } from 'vitest'
import { Wake } from '../../src/js/hosts/v86/wake.js'

/** A main loop that plans its turns as v86 does in browsers. */
class Loop {
  readonly worker: object | null = {}
  /** The turns that the worker is asked for. */
  readonly asked: number[] = []
  /** The turns that were taken. */
  readonly taken: number[] = []
  onTurn = () => {}
  #tick = 0

  plan(delay: number): void {
    this.#tick += 1
    this.yield(delay, this.#tick)
  }

  yield(_delay: number, tick: number): void {
    this.asked.push(tick)
  }

  yield_callback(tick: number): void {
    if (tick !== this.#tick) return
    this.taken.push(tick)
    this.onTurn()
  }
}

let wake: Wake | undefined
afterEach(() => wake?.close())

function hooked() {
  const loop = new Loop()
  wake = Wake.of({ v86: loop })
  if (!wake) throw new Error('The main loop is not hooked.')
  return { loop, wake }
}

it('a turn that an answer asks for needs no worker, and is a task of its own', async () => {
  const { loop, wake } = hooked()
  const turn = new Promise<void>((resolve) => {
    loop.onTurn = resolve
  })
  wake.answer(() => loop.plan(0))
  await Promise.resolve()
  expect(loop.taken).toEqual([])
  await turn
  expect(loop.taken).toEqual([1])
  expect(loop.asked).toEqual([])
})

it('every other turn is planned as before', () => {
  const { loop, wake } = hooked()
  loop.plan(0)
  wake.answer(() => loop.plan(5))
  expect(() =>
    wake.answer(() => {
      throw new Error('from the guest')
    }),
  ).toThrow('from the guest')
  loop.plan(0)
  expect(loop.asked).toEqual([1, 2, 3])
})

it('a turn is not taken once a later one is planned', async () => {
  const { loop, wake } = hooked()
  const turn = new Promise<void>((resolve) => {
    loop.onTurn = resolve
  })
  wake.answer(() => {
    loop.plan(0)
    loop.plan(0)
  })
  await turn
  expect(loop.taken).toEqual([2])
})

it('v86 has its main loop back after the last disk', () => {
  const { loop, wake } = hooked()
  wake.close()
  expect(loop.yield).toBe(Loop.prototype.yield)
})

it('a machine without a worker, or with other names, is left alone', () => {
  expect(Wake.of({ v86: Object.assign(new Loop(), { worker: null }) })).toBeUndefined()
  expect(Wake.of({ v86: { worker: {} } })).toBeUndefined()
  expect(Wake.of({})).toBeUndefined()
})
