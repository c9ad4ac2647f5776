// The benchmark of the storages of a browser: images in the origin-private file system against an access handle of the raw
// disk, in a worker and on the page; and over a link of 100 Mbit/s with 20 ms against one large fetch.
import { MiB, measure, report, withPage } from './browser-lab.mjs'

const worker = 'browser-storages-worker.mjs'

await withPage(async (page) => {
  let good = true
  await measure(page, worker, 'prepare', {})
  console.log('                                          qcow2   raw handle   ratio  target')
  for (const [size, name] of [
    [64 * 1024, '64 KiB'],
    [MiB, '1 MiB'],
  ]) {
    const read = await measure(page, worker, 'sequential', { size, total: 128 * MiB })
    good = report(`opfs, sequential, ${name}`, read, 'MB/s', 0.9) && good
  }
  const reads = await measure(page, worker, 'random', { size: 4096 })
  good = report('opfs, random 4 KiB', reads, 'IOPS', 0.8) && good
  const sequential = await measure(page, worker, 'sequentialWrite', { size: 65536, total: 64 * MiB })
  good = report('opfs, written in place, 64 KiB', sequential, 'MB/s', 0.85) && good
  const writes = await measure(page, worker, 'randomWrite', { size: 4096 })
  good = report('opfs, written in place, random 4 KiB', writes, 'IOPS', 0.7) && good
  report('opfs, 4 KiB and a flush', await measure(page, worker, 'flushed', { size: 4096 }), 'IOPS')
  const far = await measure(page, worker, 'far', { total: 32 * MiB })
  console.log('                                          qcow2        fetch   ratio  target')
  good = report('http, 100 Mbit/s, 20 ms, streamed', far, 'MB/s', 0.9) && good
  const cold = await measure(page, worker, 'boot', {})
  reportBoot('http, a start from there, cold', cold)
  // With room for all that the list has, which knows better than a forecast what is next.
  const roomy = { readAhead: { budget: 128 * MiB, window: 0 } }
  const known = await measure(page, worker, 'boot', { list: cold.list, ...roomy })
  good = reportBoot('http, the same, prefetched', known, 0.1) && good
  const { microseconds, megabytes } = await page.evaluate(onPage)
  console.log(`opfs on the page: ${microseconds.toFixed(0)} µs for 4 KiB, ${megabytes.toFixed(0)} MB/s by 64 KiB`)
  return good
})

/** Prints how many requests the reads of a start took; `target` is how many they may be for each read, if anything is. */
function reportBoot(title, { reads, requests, milliseconds }, target) {
  const ratio = requests / reads
  const good = target === undefined || ratio <= target
  const verdict = target === undefined ? '' : ` ≤ ${target} ${good ? 'ok' : 'MISSED'}`
  const taken = `${reads} reads, ${requests} requests, ${ratio.toFixed(2)}${verdict}, ${milliseconds.toFixed(0)} ms`
  console.log(`${title.padEnd(34)} ${taken}`)
  return good
}

/** The engine on the page, with the access handle in the package's own worker. */
async function onPage() {
  const { opfs, Qcow2 } = await import(`${location.origin}/dist/index.js`)
  const image = await Qcow2.open(opfs('disk.qcow2'))
  const spent = async (count, size) => {
    const into = new Uint8Array(size)
    const times = []
    for (let number = 0; number < count; number += 1) {
      const start = performance.now()
      await image.readInto(((number * 7919 * 4096) % (256 * 1024 * 1024)) + 65536, into)
      times.push(performance.now() - start)
    }
    return times.toSorted((a, b) => a - b)[Math.floor(count / 2)]
  }
  const result = { microseconds: (await spent(500, 4096)) * 1000, megabytes: 65.536 / (await spent(500, 65536)) }
  await image.close()
  return result
}
