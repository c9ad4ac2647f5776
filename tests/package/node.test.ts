import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { install } from '../js/helpers/package.js'
import { base64, expected } from './lab.js'

let folder = ''

beforeAll(() => {
  folder = install()
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Opens the image with what `load` evaluates to. */
const program = (load: string) => `
async function main() {
  const { memory, Qcow2 } = ${load}
  const image = await Qcow2.open(memory(Buffer.from('${base64}', 'base64')))
  console.log([...(await image.read(0, 8))].join())
  await image.close()
}
main()
`

it.each([
  ['import, by a module', 'module.mjs', "await import('qcow2-web')"],
  ['require, by a CommonJS script', 'script.cjs', "require('qcow2-web')"],
  ['require of qcow2-web/inline', 'inline.cjs', "require('qcow2-web/inline')"],
])('%s', (_, name, load) => {
  writeFileSync(join(folder, name), program(load))
  const seen = execFileSync(process.execPath, ['--no-warnings', name], { cwd: folder, encoding: 'utf8' })
  expect(seen.trim()).toBe(expected)
})
