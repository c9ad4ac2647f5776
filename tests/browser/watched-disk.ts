import type * as Package from '../../src/js/index.js'
import type { Work } from './storage-lab.js'

/** A storage of the page that tells what is asked of it. */
interface Watched extends Package.AsyncStorage {
  /** How many bytes each request is of. */
  readonly asked: number[]
  /** What those that are unanswered wait for, while it is there. */
  held: { readonly released: Promise<void>; release(): void } | undefined
  /** Where it can't be read. */
  broken: number | undefined
  /** How many of its requests were aborted. */
  aborted: number
  closed: boolean
  hold(): void
  /** How many bytes were asked for. */
  total(): number
}

/** What tests of reading ahead have on their page, as `ground`. */
export interface Ground {
  /** The disk of the image; the last part of it is no whole cluster, nor any window's. */
  readonly disk: Uint8Array
  /** Opens the image in a worker, and what it is read from; of that nothing was asked yet but tables. */
  open(): Promise<{ image: Package.Qcow2; file: Watched }>
  /** True if bytes are those at `offset` of the disk. */
  right(offset: number, bytes: Uint8Array): boolean
  /** How a promise ends. */
  outcome(promise: Promise<unknown>): Promise<unknown>
}

/** Puts it there. */
export const prepare: Work<[], void> = async ({ isQcow2Error, memory, Qcow2 }) => {
  const disk = new Uint8Array(4 * 1024 * 1024 + 5 * 512)
  for (let at = 0; at < disk.length; at += 65536) crypto.getRandomValues(disk.subarray(at, at + 65536))
  const made = memory()
  const image = await Qcow2.create(made, { size: disk.length })
  image.writeSync(0, disk)
  await image.close()
  const bytes = made.bytes().slice()
  const right = (offset: number, some: Uint8Array) => some.every((byte, at) => byte === disk[offset + at])
  const outcome = (promise: Promise<unknown>) =>
    promise.then(
      () => 'done',
      (error) => (isQcow2Error(error) ? error.code : error),
    )
  const watched = (): Watched => ({
    asked: [],
    held: undefined,
    broken: undefined,
    aborted: 0,
    closed: false,
    size: () => bytes.length,
    async read(offset, length, { signal }) {
      this.asked.push(length)
      signal.addEventListener('abort', () => {
        this.aborted += 1
      })
      await this.held?.released
      const { broken = -1 } = this
      if (broken >= offset && broken < offset + length) throw new RangeError('broken')
      return bytes.slice(offset, offset + length)
    },
    close() {
      this.closed = true
    },
    hold() {
      let release = () => {}
      const released = new Promise<void>((resolve) => {
        release = resolve
      })
      this.held = {
        released,
        release: () => {
          this.held = undefined
          release()
        },
      }
    },
    total() {
      return this.asked.reduce((sum, length) => sum + length, 0)
    },
  })
  const open = async () => {
    const file = watched()
    const image = await Qcow2.open(file, { worker: true })
    await image.locate(0)
    file.asked.length = 0
    return { image, file }
  }
  Object.assign(globalThis, { ground: { disk, open, right, outcome } satisfies Ground })
}
