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
  const { requests, milliseconds } = await measure(page, worker, 'opening', {})
  good = requests <= 10 && good
  console.log(
    `opening 1 TiB of full tables: ${requests} requests (≤ 10), ${milliseconds.toFixed(0)} ms with the module's loading`,
  )
  return good
})
