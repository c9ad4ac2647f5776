// The worker of the benchmark of conversion: a disk in memory into an image in memory, packed by workers and by this thread in
// turns. Not the page's own thread, for to that the browser gives more than to others.
import { convert, memory } from '/dist/index.js'
import { serve } from './browser-measure.mjs'

/** One more, that warms up. */
const rounds = 5

async function converted({ bytes, compression, workers }) {
  const starts = []
  const speed = async (workers) => {
    let began
    let from = 0
    const called = performance.now()
    const onProgress = ({ done }) => {
      if (done === 0 || began !== undefined) return
      began = performance.now()
      from = done
      if (workers > 0) starts.push(began - called)
    }
    await convert(memory(bytes), memory(), { sourceFormat: 'raw', compressed: true, compression, workers, onProgress })
    return (bytes.length - from) / 1000 / (performance.now() - began)
  }
  const result = { ours: [], theirs: [], starts }
  for (let round = 0; round <= rounds; round += 1) {
    const [ours, theirs] = [await speed(workers), await speed(0)]
    if (round === 0) continue
    result.ours.push(ours)
    result.theirs.push(theirs)
  }
  return result
}

serve({ converted }, async (files) => ({ bytes: new Uint8Array(await files['code.raw'].arrayBuffer()) }))
