import { expect, it, vi } from 'vitest'
import { infiniteMacDisk } from '../../src/js/hosts/infinite-mac.js'
import { memory, Qcow2 } from '../../src/js/index.js'
import { FaultyStorage } from './helpers/faulty.js'

/** The interface of disks in Infinite Mac's worker, as its repository declares it. */
interface EmulatorWorkerDisk {
  name: string
  size: number
  read(buffer: Uint8Array, offset: number, length: number): number
  write(buffer: Uint8Array, offset: number, length: number): number
  validate?(): void
}

it('an image is a disk of Infinite Mac, and is flushed after its writes', async () => {
  vi.useFakeTimers()
  const image = await Qcow2.create(memory(), { size: 8192 })
  const flush = vi.spyOn(image, 'flushSync')
  const own = infiniteMacDisk('Macintosh HD', image, { flushDelay: 500 })
  const disk: EmulatorWorkerDisk = own
  expect([disk.name, disk.size]).toEqual(['Macintosh HD', 8192])
  expect(disk.write(new Uint8Array(1024).fill(5), 512, 600)).toBe(600)
  expect(disk.write(new Uint8Array(1024).fill(6), 8000, 1024)).toBe(192)
  vi.advanceTimersByTime(499)
  expect(flush).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(flush).toHaveBeenCalledTimes(1)
  const buffer = new Uint8Array(1024)
  expect(disk.read(buffer, 1000, 512)).toBe(512)
  expect([buffer[0], buffer[111], buffer[112], buffer[512]]).toEqual([5, 5, 0, 0])
  expect(disk.read(buffer, 8192, 512)).toBe(0)

  disk.write(buffer, 0, 10)
  own.close()
  expect(flush).toHaveBeenCalledTimes(2)
  vi.advanceTimersByTime(1000)
  expect(flush).toHaveBeenCalledTimes(2)
  vi.useRealTimers()
})

it('a flush of its own that fails is reported', async () => {
  vi.useFakeTimers()
  const image = await Qcow2.create(memory(), { size: 8192 })
  const onError = vi.fn()
  const disk = infiniteMacDisk('Macintosh HD', image, { onError })
  disk.write(new Uint8Array(512), 0, 512)
  await image.close()
  vi.runAllTimers()
  expect(onError).toHaveBeenCalledWith(expect.objectContaining({ code: 'CLOSED' }))
  vi.useRealTimers()
})

it('an image that cannot be read without waiting is refused', async () => {
  const image = await Qcow2.create(new FaultyStorage(), { size: 8192 })
  expect(() => infiniteMacDisk('Macintosh HD', image)).toThrow(expect.objectContaining({ code: 'NOT_SYNC' }))
})
