// What tests/bench/browser-storages.mjs runs in a worker.
import { http, opfs, prefetched, Qcow2, recorded } from '../../dist/index.js'
import { compare, compareEach, places, random, serve } from './browser-measure.mjs'

const drain = async (stream) => {
  for (const reader = stream.getReader(); ; ) if ((await reader.read()).done) return
}

/** Calls `use` with an image and a raw disk in the origin-private file system. */
async function withFiles(use, options) {
  const root = await navigator.storage.getDirectory()
  const raw = await (await root.getFileHandle('disk.raw')).createSyncAccessHandle()
  const image = await Qcow2.open(opfs('disk.qcow2'), options)
  try {
    return await use(image, raw, { size: raw.getSize() })
  } finally {
    await image.close()
    raw.close()
  }
}

/** Lets two sides take turns at operations that are too short for the clock. */
function compareMany(ours, theirs) {
  const count = 5000
  const many = (operation) => () => {
    for (let number = 0; number < count; number += 1) operation()
  }
  return compare(count, many(ours), many(theirs))
}

const measurements = {
  async prepare({ files }) {
    for (const name of ['disk.raw', 'disk.qcow2']) await opfs.import(name, files[name])
    return {}
  },

  sequential: ({ size, total }) =>
    withFiles((image, raw, file) => {
      const [ours, theirs] = [places(file, total), places(file, total)]
      const into = new Uint8Array(size)
      return compare(
        total / 1e6,
        () => {
          const start = ours()
          for (let at = start; at < start + total; at += size) image.readIntoSync(at, into)
        },
        () => {
          const start = theirs()
          for (let at = start; at < start + total; at += size) raw.read(into, { at })
        },
      )
    }),

  random: ({ size }) =>
    withFiles((image, raw, file) => {
      const [ours, theirs] = [random(file, size), random(file, size)]
      const into = new Uint8Array(size)
      return compareMany(
        () => image.readIntoSync(ours.next().value, into),
        () => raw.read(into, { at: theirs.next().value }),
      )
    }),

  sequentialWrite: ({ size, total }) =>
    withFiles(
      (image, raw, file) => {
        const [ours, theirs] = [places(file, total), places(file, total)]
        const bytes = new Uint8Array(size).fill(1)
        return compare(
          total / 1e6,
          () => {
            const start = ours()
            for (let at = start; at < start + total; at += size) image.writeSync(at, bytes)
          },
          () => {
            const start = theirs()
            for (let at = start; at < start + total; at += size) raw.write(bytes, { at })
          },
        )
      },
      { writable: true },
    ),

  randomWrite: ({ size }) =>
    withFiles(
      (image, raw, file) => {
        const [ours, theirs] = [random(file, size), random(file, size)]
        const bytes = new Uint8Array(size).fill(1)
        return compareMany(
          () => image.writeSync(ours.next().value, bytes),
          () => raw.write(bytes, { at: theirs.next().value }),
        )
      },
      { writable: true },
    ),

  flushed: ({ size }) =>
    withFiles(
      (image, raw, file) => {
        const [ours, theirs] = [random(file, size), random(file, size)]
        const bytes = new Uint8Array(size).fill(1)
        return compareEach(
          50,
          () => {
            image.writeSync(ours.next().value, bytes)
            image.flushSync()
          },
          () => {
            raw.write(bytes, { at: theirs.next().value })
            raw.flush()
          },
        )
      },
      { writable: true },
    ),

  /**
   * What a Linux reads that starts from the disk, each read when the one before has come. boot-trace.txt has them by offset
   * and length, as QEMU's trace event `blk_co_preadv` told them of a disk of 512 MiB with ext4: Debian's kernel mounts it, and
   * runs a shell, Perl, Python, Git and others. The guest's own read-ahead is in them.
   */
  async boot({ list, readAhead = {} }) {
    const trace = (await (await fetch('/tests/bench/boot-trace.txt')).text()).trim().split('\n')
    const reads = trace.map((line) => line.split(' ').map(Number))
    let requests = 0
    const counted = (url, init) => {
      requests += 1
      return fetch(url, init)
    }
    const far = http('/far/disk.qcow2', { fetchFn: counted, readAhead })
    const recorder = recorded(list ? prefetched(far, list) : far)
    const image = await Qcow2.open(recorder)
    const begun = performance.now()
    // A machine that starts waits for each of them.
    for (const [offset, length] of reads) await image.read(offset, length)
    const milliseconds = performance.now() - begun
    await image.close()
    return { reads: reads.length, requests, milliseconds, list: recorder.list() }
  },

  async far({ total }) {
    const file = { size: 512 * 1024 * 1024 }
    const [ours, theirs] = [places(file, total), places(file, total)]
    const result = { ours: [], theirs: [] }
    // Few rounds, for the link is slow.
    for (let round = 0; round < 3; round += 1) {
      const image = await Qcow2.open(http('/far/disk.qcow2'))
      const begun = performance.now()
      await drain(image.readable({ offset: ours(), length: total }))
      result.ours.push(total / 1000 / (performance.now() - begun))
      await image.close()
      const start = theirs()
      const again = performance.now()
      const range = `bytes=${start}-${start + total - 1}`
      await drain((await fetch('/far/disk.raw', { headers: { range }, cache: 'no-store' })).body)
      result.theirs.push(total / 1000 / (performance.now() - again))
    }
    return result
  },
}

serve(measurements, (files) => ({ files }))
