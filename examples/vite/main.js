// Disks that the browser keeps: each is a file of the origin-private file system, which only this page can read.
import { isQcow2Error, opfs, persist, Qcow2 } from 'qcow2-web'

const folder = 'disks'
const element = (id) => document.getElementById(id)

element('file').onchange = ({ target }) =>
  run(async () => {
    const [file] = target.files
    element('progress').hidden = false
    const onProgress = ({ done, total }) => Object.assign(element('progress'), { value: done, max: total })
    await opfs.import(`${folder}/${file.name}`, file, { onProgress, overwrite: true })
    element('progress').hidden = true
    // Without it the browser may remove the disks when its own disk gets full.
    await persist()
  })

function button(name, work) {
  return Object.assign(document.createElement('button'), { textContent: name, onclick: () => run(work) })
}

async function list() {
  const entries = await opfs.list(folder).catch(() => [])
  const items = entries.map(({ name, path, size }) => {
    const item = document.createElement('li')
    item.append(
      `${name}: ${size} bytes `,
      button('Take a snapshot', () => snapshot(path)),
      button('Delete', () => opfs.delete(path)),
    )
    return item
  })
  element('disks').replaceChildren(...items)
}

async function snapshot(path) {
  const image = await Qcow2.open(opfs(path), { writable: true, worker: true })
  try {
    const { name } = await image.snapshots.create(new Date().toLocaleString())
    return `Took the snapshot "${name}". The disk has ${image.snapshots.list().length}.`
  } finally {
    await image.close()
  }
}

/** Does something, and shows what it returns or what went wrong. */
async function run(work) {
  try {
    element('status').value = (await work()) ?? ''
  } catch (error) {
    element('status').value = isQcow2Error(error) ? error.reason : String(error)
  }
  await list()
}

await list()
