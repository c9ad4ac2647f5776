// What tests/bench/browser.mjs runs in a worker of Chromium.
import { blob, Qcow2 } from '../../dist/index.js'

const rounds = 9
/** Rounds before those, until the JavaScript of both sides has been compiled. */
const warming = 3

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]

/** Lets two sides take turns, and returns how much per second each did. */
async function compare(amount, ours, theirs) {
  const speed = async (work) => {
    const start = performance.now()
    await work()
    return (amount * 1000) / (performance.now() - start)
  }
  const result = { ours: [], theirs: [] }
  for (let round = -1; round < rounds; round += 1) {
    const [own, their] =
      round % 2 ? [await speed(ours), await speed(theirs)] : [await speed(theirs), await speed(ours)].reverse()
    if (round < 0) continue
    result.ours.push(own)
    result.theirs.push(their)
  }
  return result
}

/**
 * As `compare`, for two sides that leave nothing going on behind them: they take turns at every operation, and their
 * speed is that of the median one, since on a machine that does other things too the mean tells of these.
 */
async function compareEach(count, ours, theirs) {
  const result = { ours: [], theirs: [] }
  for (let round = -warming; round < rounds; round += 1) {
    const spent = [[], []]
    for (let operation = 0; operation < count; operation += 1) {
      const sides = operation % 2 ? [0, 1] : [1, 0]
      for (const side of sides) {
        const start = performance.now()
        await (side === 0 ? ours() : theirs())
        spent[side].push(performance.now() - start)
      }
    }
    if (round < 0) continue
    result.ours.push(1000 / median(spent[0]))
    result.theirs.push(1000 / median(spent[1]))
  }
  return result
}

/** Where a round begins, so that no round finds what another has left. */
function places(file, total) {
  let next = 0
  return () => {
    const start = next
    next = (next + total) % (file.size - (file.size % total))
    return start
  }
}

/** Offsets of a seeded random walk. */
function* random(file, size) {
  let state = 12345
  while (true) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    yield ((state >>> 0) % Math.floor(file.size / size)) * size
  }
}

const measurements = {
  async sequential({ raw, open, size, total }) {
    const image = await open()
    const [ours, theirs] = [places(raw, total), places(raw, total)]
    const into = new Uint8Array(size)
    return compare(
      total / 1e6,
      async () => {
        const start = ours()
        for (let at = start; at < start + total; at += size) await image.read(at, into)
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
        for (let at = start; at < start + total; at += size) image.readSync(at, into)
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
      () => all(ours, (offset, into) => image.read(offset, into)),
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
      () => image.readSync(ours.next().value, into),
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

addEventListener('message', async ({ data: { name, options, files } }) => {
  try {
    const open = (how) => Qcow2.open(blob(files['disk.qcow2'], how))
    const context = { raw: files['disk.raw'], large: files['large.qcow2'], open, ...options }
    postMessage(await measurements[name](context))
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) })
  }
})
