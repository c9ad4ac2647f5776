import { describe, expect, it } from 'vitest'
import { memory, Qcow2 } from '../../src/js/index.js'
import { check, contents, difference, save } from './helpers/qemu.js'

const MiB = 2 ** 20

describe('a VM state without a snapshot', () => {
  it('is written in segments or as a stream, read again, taken over by a snapshot, or discarded', async () => {
    const storage = memory()
    await using image = await Qcow2.create(storage, { size: 8 * MiB })
    const state = contents(300_000, 9)
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 1000; at < state.length; at += 70_000) controller.enqueue(state.subarray(at, at + 70_000))
        controller.close()
      },
    })
    expect(await image.writeVmState(0, state.subarray(0, 1000))).toBe(1000)
    expect(await image.writeVmState(1000, stream)).toBe(state.length - 1000)
    expect(difference(await image.readVmState(0, state.length), state)).toBe(-1)
    const taken = await image.snapshots.create('saved', { vmStateSize: state.length })
    expect(taken.vmStateSize).toBe(state.length)
    await using saved = await image.snapshots.open('saved')
    expect(difference(await saved.vmState.read(0, state.length), state)).toBe(-1)

    await image.writeVmState(0n, state)
    const before = storage.bytes().length
    await image.discardVmState()
    expect(storage.bytes().length).toBeLessThan(before)
    expect((await image.readVmState(0, 1000)).every((byte) => byte === 0)).toBe(true)
    expect(difference(await saved.vmState.read(0, state.length), state)).toBe(-1)
    await image.flush()
    expect(check(save('with-state.qcow2', storage.bytes()))).toBe('clean')
  })

  it('and the size of one that was written exclude each other', async () => {
    await using image = await Qcow2.create(memory(), { size: MiB })
    const both = image.snapshots.create('s', { vmState: new Uint8Array(5), vmStateSize: 5 })
    await expect(both).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(image.writeVmState(-1, new Uint8Array(5))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})
