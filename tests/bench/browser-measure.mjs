// How the workers of the benchmarks measure.

const rounds = 9
/** Rounds before those, until the JavaScript of both sides has been compiled. */
const warming = 3

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]

/** How long both sides run before a comparison of short rounds, for the same reason, in milliseconds. */
const warmingTime = 1000

/** Lets two sides take turns, and returns how much per second each did. */
export async function compare(amount, ours, theirs) {
  const speed = async (work) => {
    const start = performance.now()
    await work()
    return (amount * 1000) / (performance.now() - start)
  }
  const result = { ours: [], theirs: [] }
  const begun = performance.now()
  do for (const side of [ours, theirs]) await side()
  while (performance.now() - begun < warmingTime)
  for (let round = 0; round < rounds; round += 1) {
    const [own, their] =
      round % 2 ? [await speed(ours), await speed(theirs)] : [await speed(theirs), await speed(ours)].reverse()
    result.ours.push(own)
    result.theirs.push(their)
  }
  return result
}

/**
 * As `compare`, for two sides that leave nothing going on behind them: they take turns at every operation, and their
 * speed is that of the median one, since on a machine that does other things too the mean tells of these.
 */
export async function compareEach(count, ours, theirs) {
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
export function places(file, total) {
  let next = 0
  return () => {
    const start = next
    next = (next + total) % (file.size - (file.size % total))
    return start
  }
}

/** Offsets of a seeded random walk. */
export function* random(file, size) {
  let state = 12345
  while (true) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    yield ((state >>> 0) % Math.floor(file.size / size)) * size
  }
}

/** Does the measurements that the page asks for, by name. */
export function serve(measurements, context) {
  addEventListener('message', async ({ data: { name, options, files } }) => {
    try {
      postMessage(await measurements[name]({ ...(await context(files)), ...options }))
    } catch (error) {
      postMessage({ error: String(error?.stack ?? error) })
    }
  })
}
