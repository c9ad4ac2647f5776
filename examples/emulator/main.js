import { http, opfs, overlay } from 'qcow2-web'
import { v86Disk } from 'qcow2-web/v86'
import { V86 } from 'v86'

const element = (id) => document.getElementById(id)
const show = (text) => {
  element('status').textContent = text
}

// The base stays as it is on the server. What the machine writes goes into an image of the user's own, in the browser.
const address = new URLSearchParams(location.search).get('disk') ?? 'disk.qcow2'
const base = http(new URL(address, location.href).href)
const image = await overlay(base, opfs('machine.qcow2', { create: true }))

const hda = v86Disk(image, { onChange: ({ failed }) => show(failed?.message ?? '') })
const emulator = new V86({
  hda,
  memory_size: 64 * 1024 * 1024,
  bios: { url: 'bios/bios.bin' },
  vga_bios: { url: 'bios/vgabios-stdvga.bin' },
  wasm_path: 'node_modules/v86/build/v86.wasm',
  screen: { container: element('screen') },
  autostart: true,
})
await hda.attach(emulator)

// Saved machines are snapshots of the image, with the state of the machine in them.
function list() {
  const buttons = image.snapshots
    .list()
    .filter(({ vmStateSize }) => vmStateSize > 0)
    .map(({ id, name }) => {
      const button = Object.assign(document.createElement('button'), { textContent: `Go back to ${name}` })
      button.onclick = () => run(() => hda.loadvm(id))
      return button
    })
  element('saved').replaceChildren(...buttons)
}

async function run(work) {
  try {
    await work()
    show('Done.')
  } catch (error) {
    show(error.message)
  }
  list()
}

element('save').onsubmit = (event) => {
  event.preventDefault()
  run(() => hda.savevm(element('name').value))
}
list()
