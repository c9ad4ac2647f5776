// The benchmark in Chromium of worker mode: the same images read from the page, with the engine in a worker against the
// engine on the page.
import { MiB, measure, report, withPage } from './browser-lab.mjs'

await withPage(async (page) => {
  await measure(page, 'browser-storages-worker.mjs', 'prepare', {})
  let good = true
  console.log('                                         worker         page   ratio  target')
  for (const storage of ['opfs', 'blob']) {
    for (const [depth, how] of [
      [1, 'one at a time'],
      [16, '16 at a time'],
    ]) {
      const result = await page.evaluate(sequential, { storage, depth, size: 64 * 1024, total: 64 * MiB })
      good = report(`${storage}, 64 KiB, ${how}`, result, 'MB/s', 0.9) && good
    }
    const streamed = await page.evaluate(sequential, { storage, depth: 0, size: MiB, total: 64 * MiB })
    report(`${storage}, streamed`, streamed, 'MB/s')
    const random = await page.evaluate(sequential, { storage, depth: 1, size: 4096, total: MiB })
    report(`${storage}, 4 KiB, one at a time`, random, 'MB/s')
  }
  const { there, here } = await page.evaluate(calls)
  console.log(`a call that needs nothing: ${there.toFixed(0)} µs in a worker, ${here.toFixed(0)} µs on the page`)
  return good
})

/** Reads a disk from front to back, in turns with the engine in a worker and here; `depth` 0 is a stream. */
async function sequential({ storage, depth, size, total }) {
  const { blob, opfs, Qcow2 } = await import(`${location.origin}/dist/index.js`)
  const { compare, places } = await import(`${location.origin}/tests/bench/browser-measure.mjs`)
  const file = [...document.querySelector('input').files].find(({ name }) => name === 'disk.qcow2')
  const source = () => (storage === 'opfs' ? opfs('disk.qcow2') : blob(file))
  const images = [await Qcow2.open(source(), { worker: true }), await Qcow2.open(source())]
  const [ours, theirs] = images.map((image) => {
    const next = places(image, total)
    const into = Array.from({ length: Math.max(depth, 1) }, () => new Uint8Array(size))
    return async () => {
      const start = next()
      if (depth === 0) {
        const reader = image.readable({ offset: start, length: total, chunkSize: size }).getReader()
        while (!(await reader.read()).done);
        return
      }
      let at = start
      // Each array is filled again as soon as it is full.
      const fill = async (array) => {
        while (at < start + total) {
          const offset = at
          at += size
          await image.readInto(offset, array)
        }
      }
      await Promise.all(into.map(fill))
    }
  })
  const result = await compare(total / 1e6, ours, theirs)
  for (const image of images) await image.close()
  return result
}

/** What a call costs of which the engine has all at hand, in microseconds. */
async function calls() {
  const { memory, Qcow2 } = await import(`${location.origin}/dist/index.js`)
  const { compareEach } = await import(`${location.origin}/tests/bench/browser-measure.mjs`)
  const images = []
  for (const worker of [true, false]) images.push(await Qcow2.create(memory(), { size: 1024 * 1024, worker }))
  const into = new Uint8Array(512)
  const [ours, theirs] = images.map((image) => () => image.readInto(0, into))
  const result = await compareEach(500, ours, theirs)
  for (const image of images) await image.close()
  const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]
  return { there: 1e6 / median(result.ours), here: 1e6 / median(result.theirs) }
}
