// Runs DOSBox of js-dos, which copies files within a floppy disk: `node dosbox.mjs IMAGE`. The disk is the image's, mounted as a
// file of Emscripten's file system. Prints `copied` when DOS has copied them, and `flushed` when the disk must have flushed that
// by itself.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import vm from 'node:vm'
import { mountDisk } from '../../dist/hosts/emscripten.js'
import { nodeFile, Qcow2 } from '../../dist/index.js'

const require = createRequire(import.meta.url)
const script = require.resolve('emulators/dist/wdosbox.js')
const say = (line) => process.stdout.write(`${line}\n`)

/** The scripts of a package that are made for pages, with the names that they look for. */
const run = (source, ...names) => vm.runInThisContext(`(${names.join()}) => {${source}}`)
vm.runInThisContext(readFileSync(require.resolve('emulators/dist/emulators.js'), 'utf8'))
const start = run(
  `let module, exports, define; ${readFileSync(script, 'utf8')}; return WDOSBOX`,
  ...['require', '__filename', '__dirname'],
)(require, script, dirname(script))

let handler
const early = []
const module = {
  wasmBinary: readFileSync(script.replace(/js$/, 'wasm')),
  postMessage: (name, props) => (handler ? handler(name, props) : early.push([name, props])),
}
await start(module)

const image = await Qcow2.open(nodeFile(process.argv[2], { sync: true }), { writable: true })
const flushDelay = 200
mountDisk(module.FS, '/disk.img', image, { flushDelay })
module.FS.mkdir('/host')
module.FS.writeFile('/host/in.bin', new Uint8Array(readFileSync(process.argv[3])))

const sessionId = 'session'
module.callMain([sessionId])
const transport = {
  sessionId,
  sendMessageToServer: (name, props) => module.messageHandler({ data: { name, props } }),
  initMessageHandler(next) {
    handler = next
    for (const message of early.splice(0)) handler(...message)
  },
  exit() {},
}
const dosboxConf = `
[cpu]
core=normal
cycles=max
[autoexec]
imgmount a /disk.img -t floppy
mount c /host
a:
copy c:\\in.bin first.bin
copy first.bin second.bin
echo all is copied
`
const dos = await globalThis.emulators.backend({ dosboxConf, jsdosConf: { version: '8' } }, transport, {})
let heard = ''
let copied = false
dos.events().onStdout((text) => {
  heard += text
  // Twice: the command itself is printed too.
  if (!copied && /all is copied[\s\S]*^all is copied/m.test(heard)) {
    copied = true
    say('copied')
    // By then the disk has flushed what was written last.
    setTimeout(() => say('flushed'), 5 * flushDelay)
  }
})
