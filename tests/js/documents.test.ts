import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { complaints } from './helpers/compile.js'
import { check, qemuImg } from './helpers/qemu.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const given = join(root, 'tests/js/documents/given.d.ts')
const guides = readdirSync(join(root, 'docs/guides')).map((name) => join('docs/guides', name))
const documents = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => join('docs', name)), ...guides].filter(
  (name) => name.endsWith('.md'),
)

/** The examples of a document in TypeScript or JavaScript. */
function examples(name: string): { readonly line: number; readonly text: string }[] {
  const text = readFileSync(join(root, name), 'utf8')
  return [...text.matchAll(/```(?:ts|js)\n([\s\S]*?)```/g)].map(({ index, 1: code = '' }) => ({
    line: text.slice(0, index).split('\n').length,
    text: code,
  }))
}

const all = documents.flatMap((name) => examples(name).map((example) => ({ ...example, name })))

it('every example of the documents compiles, with its imports and with nothing that does not exist', () => {
  // In a folder of the package, so that they import it by its name. `export {}` makes each a module.
  const virtual = new Map(
    all.map(({ name, line, text }) => [
      join(root, 'tests/js/documents', `${name.replaceAll('/', '-')}-${line}.ts`),
      `${text}export {}\n`,
    ]),
  )
  expect(complaints(root, virtual, [given])).toEqual([])
  expect(virtual.size).toBeGreaterThan(15)
})

it('the example for Node does what it describes', () => {
  const example = examples('README.md').find(({ text }) => text.includes("nodeFile('new.qcow2'"))
  const parent = join(root, 'target/documents')
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(join(parent, 'node-'))
  try {
    writeFileSync(join(folder, 'example.mjs'), example?.text ?? '')
    execFileSync(process.execPath, ['example.mjs'], { cwd: folder })
    const [image, small] = [join(folder, 'new.qcow2'), join(folder, 'small.qcow2')]
    expect(check(image)).toBe('clean')
    expect(qemuImg('snapshot', '-l', image)).toContain('before the upgrade')
    qemuImg('compare', '-q', image, small)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

it('every file that a document links to exists', () => {
  const dead = documents.flatMap((name) =>
    [...readFileSync(join(root, name), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
      .map(([, target = '']) => join(dirname(name), target))
      .filter((target) => ts.sys.readFile(join(root, target)) === undefined)
      .map((target) => `${name}: ${target}`),
  )
  expect(dead).toEqual([])
})

it.each([
  ['src/js/base/errors.ts', 'Qcow2ErrorCode', (text: string) => text.split('## File systems')[0]],
  ['src/js/files/errors.ts', 'FilesErrorCode', (text: string) => text.split('## File systems')[1]],
] as const)('the guide of errors has every code of %s, and no other', (file, type, part) => {
  const source = readFileSync(join(root, file), 'utf8')
  const union = new RegExp(`export type ${type} =\\n((?:  \\| '\\w+'\\n)+)`).exec(source)?.[1] ?? ''
  const codes = [...union.matchAll(/'(\w+)'/g)].map(([, code]) => code)
  const guide = part(readFileSync(join(root, 'docs/guides/errors.md'), 'utf8')) ?? ''
  const listed = [...guide.matchAll(/^\| `(\w+)` \|/gm)].map(([, code]) => code)
  expect(codes.length).toBeGreaterThan(10)
  expect(listed.toSorted()).toEqual(codes.toSorted())
})
