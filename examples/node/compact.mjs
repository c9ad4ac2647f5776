// Makes a small copy of an image: `node compact.mjs disk.qcow2 small.qcow2`.
import { check, compare, convert, nodeFile, Qcow2 } from 'qcow2-web'

const [from, to] = process.argv.slice(2)
if (!from || !to) throw new Error('Usage: node compact.mjs FROM TO')

const { verdict, findings } = await check(nodeFile(from))
for (const { message } of findings) console.error(message)
if (verdict === 'corrupt') throw new Error(`${from} is corrupt. Repair it first: npx qcow2-web check -r all ${from}`)

const image = await Qcow2.open(nodeFile(from))
await convert(image, nodeFile(to, { create: true }), { compressed: true, compression: 'zstd' })

const copy = await Qcow2.open(nodeFile(to))
const { equal } = await compare(image, copy)
await Promise.all([image.close(), copy.close()])
if (!equal) throw new Error('The copy differs.')
console.log(`${to} has the same ${image.size} bytes.`)
