// What tests/bench/browser.mjs runs in a worker of Chromium.
import { blob, Qcow2 } from '../../dist/index.js'
import { compare, compareEach, places, random, serve } from './browser-measure.mjs'

const measurements = {
  async sequential({ raw, open, size, total }) {
    const image = await open()
    const [ours, theirs] = [places(raw, total), places(raw, total)]
    const into = new Uint8Array(size)
    return compare(
      total / 1e6,
      async () => {
        const start = ours()
        for (let at = start; at < start + total; at += size) await image.readInto(at, into)
      },
      async () => {
        const start = theirs()
        for (let at = start; at < start + total; at += size) await raw.slice(at, at + size).arrayBuffer()
      },
    )
  },

  async sequentialSync({ raw, open, size, total }) {
    const image = await open({ sync: true })
    const [ours, theirs] = [places(raw, total), places(raw, total)]
    const into = new Uint8Array(size)
    return compare(
      total / 1e6,
      () => {
        const start = ours()
        for (let at = start; at < start + total; at += size) image.readIntoSync(at, into)
      },
      () => {
        const start = theirs()
        for (let at = start; at < start + total; at += size)
          new FileReaderSync().readAsArrayBuffer(raw.slice(at, at + size))
      },
    )
  },

  async random({ raw, open, size, depth = 1 }) {
    const image = await open()
    const [ours, theirs] = [random(raw, size), random(raw, size)]
    const arrays = Array.from({ length: depth }, () => new Uint8Array(size))
    const all = (offsets, read) => Promise.all(arrays.map((into) => read(offsets.next().value, into)))
    const result = await compareEach(
      Math.ceil(200 / depth),
      () => all(ours, (offset, into) => image.readInto(offset, into)),
      () => all(theirs, (offset) => raw.slice(offset, offset + size).arrayBuffer()),
    )
    return { ours: result.ours.map((each) => each * depth), theirs: result.theirs.map((each) => each * depth) }
  },

  async randomSync({ raw, open, size }) {
    const image = await open({ sync: true })
    const [ours, theirs] = [random(raw, size), random(raw, size)]
    const into = new Uint8Array(size)
    return compareEach(
      200,
      () => image.readIntoSync(ours.next().value, into),
      () => {
        const offset = theirs.next().value
        return new FileReaderSync().readAsArrayBuffer(raw.slice(offset, offset + size))
      },
    )
  },

  async streamed({ raw, open, total }) {
    const image = await open()
    const [ours, theirs] = [places(raw, total), places(raw, total)]
    const drain = async (stream) => {
      for (const reader = stream.getReader(); ; ) if ((await reader.read()).done) return
    }
    return compare(
      total / 1e6,
      () => drain(image.readable({ offset: ours(), length: total })),
      () => {
        const start = theirs()
        return drain(raw.slice(start, start + total).stream())
      },
    )
  },

  async opening({ large }) {
    let requests = 0
    const counted = {
      size: large.size,
      arrayBuffer: () => large.arrayBuffer(),
      slice(start, end) {
        requests += 1
        return large.slice(start, end)
      },
    }
    const start = performance.now()
    const image = await Qcow2.open(blob(counted))
    await image.info()
    return { requests, milliseconds: performance.now() - start, size: image.size }
  },
}

serve(measurements, (files) => ({
  raw: files['disk.raw'],
  large: files['large.qcow2'],
  open: (how) => Qcow2.open(blob(files['disk.qcow2'], how)),
}))
