// The package's worker, with a count of what it holds: the Blobs that came from the page, and what the engine refers to.

import '/worker/worker.js'

/** @type {WeakRef<Blob>[]} */
const blobs = []
/** The exports of the engine. */
let engine

const instantiate = WebAssembly.instantiate
WebAssembly.instantiate = async (...args) => {
  const result = await instantiate(...args)
  engine = (result.instance ?? result).exports
  return result
}

addEventListener('message', async (event) => {
  if (event.data.probe) postMessage({ probe: await counts() })
  else note(event.data)
})

function note(value) {
  if (value instanceof Blob) blobs.push(new WeakRef(value))
  else if (Array.isArray(value)) value.forEach(note)
  else if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    Object.values(value).forEach(note)
  }
}

async function counts() {
  let alive = blobs.length
  for (let round = 0; round < 20 && alive > 0; round += 1) {
    await new Promise((resolve) => setTimeout(resolve))
    gc()
    alive = blobs.filter((each) => each.deref()).length
  }
  const table = engine.__wbindgen_externrefs
  let references = 0
  for (let index = 0; index < table.length; index += 1) if (table.get(index) !== undefined) references += 1
  return { blobs: blobs.length, alive, references, memory: engine.memory.buffer.byteLength }
}
