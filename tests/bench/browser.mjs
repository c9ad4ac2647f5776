// The benchmark in Chromium: images over the Blobs of files, in a worker, against the Blob of the raw disk read in pieces
// of the same size.
import { MiB, measure, report, withPage } from './browser-lab.mjs'

const worker = 'browser-worker.mjs'

await withPage(async (page) => {
  let good = true
  console.log('                                          qcow2     raw Blob   ratio  target')
  for (const [size, name, total] of [
    [64 * 1024, '64 KiB', 32 * MiB],
    [MiB, '1 MiB', 256 * MiB],
    [4 * MiB, '4 MiB', 512 * MiB],
  ]) {
    const result = await measure(page, worker, 'sequential', { size, total })
    good = report(`sequential, ${name}`, result, 'MB/s', 0.9) && good
  }
  good =
    report('random 4 KiB, one at a time', await measure(page, worker, 'random', { size: 4096 }), 'IOPS', 0.9) && good
  report('random 4 KiB, 16 at a time', await measure(page, worker, 'random', { size: 4096, depth: 16 }), 'IOPS')
  report('random 4 KiB, readSync', await measure(page, worker, 'randomSync', { size: 4096 }), 'IOPS')
  report(
    'sequential, 64 KiB, readSync',
    await measure(page, worker, 'sequentialSync', { size: 65536, total: 32 * MiB }),
    'MB/s',
  )
  good = report('streamed, 1 MiB', await measure(page, worker, 'streamed', { total: 256 * MiB }), 'MB/s', 0.9) && good
  for (const entry of ['read', 'index']) {
    const times = []
    for (let run = 0; run < 5; run += 1) times.push(await firstRead(page, entry))
    const [shortest] = times.toSorted((a, b) => a - b)
    console.log(`to the first read on a page, with dist/${entry}.js: ${shortest.toFixed(0)} ms`)
  }
  const { requests, milliseconds } = await measure(page, worker, 'opening', {})
  good = requests <= 10 && good
  console.log(
    `opening 1 TiB of full tables: ${requests} requests (≤ 10), ${milliseconds.toFixed(0)} ms with the module's loading`,
  )
  return good
})

/** How long a new page takes to load the package from this machine, open an image and read of it, in milliseconds. */
function firstRead(page, entry) {
  return page.evaluate(async (entry) => {
    const file = [...document.querySelector('input').files].find(({ name }) => name === 'disk.qcow2')
    // A window of its own, which has loaded nothing.
    const frame = document.body.appendChild(document.createElement('iframe'))
    const began = performance.now()
    const { Qcow2 } = await frame.contentWindow.eval(`import('/dist/${entry}.js')`)
    const image = await Qcow2.open(file)
    await image.read(0, 512)
    const time = performance.now() - began
    await image.close()
    frame.remove()
    return time
  }, entry)
}
