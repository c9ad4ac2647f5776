import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { install } from '../../js/helpers/package.js'
import { check, qemuImg } from '../../js/helpers/qemu.js'
import { add, base64, expected, program, programWithFiles, write } from '../lab.js'

const documents = readFileSync(join(import.meta.dirname, '../../../README.md'), 'utf8')
const example = [...documents.matchAll(/```ts\n([\s\S]*?)```/g)].find(([text]) =>
  text.includes("nodeFile('new.qcow2'"),
)?.[1]
let folder = ''

beforeAll(() => {
  folder = install()
  add(folder, 'bun@1', 'deno@2')
  const tour = (module: string) => `import { tour } from '${module}'
    console.log(JSON.stringify(await tour('${base64}')))`
  write(folder, {
    'tour.js': program('qcow2-web'),
    'files.js': programWithFiles,
    'inline.js': program('qcow2-web/inline'),
    'with-files.mjs': tour('./files.js'),
    'within.mjs': tour('./inline.js'),
    'example.mjs': example ?? '',
  })
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each([
  ['Bun', 'bun', ['run']],
  ['Deno', 'deno', ['run', '--allow-all']],
])('%s', (_, name, args) => {
  const run = (script: string) =>
    execFileSync(join(folder, 'node_modules/.bin', name), [...args, script], { cwd: folder, encoding: 'utf8' })

  it('opens a disk, also in a worker, and finds its volumes', () => {
    const seen = JSON.parse(run('with-files.mjs'))
    expect(seen).toMatchObject({ open: expected, worker: expected, files: '1' })
    expect(seen.opfs).toMatch(/no origin-private file system here/)
  })

  it('does the same with the module and the worker within', () => {
    expect(JSON.parse(run('within.mjs'))).toMatchObject({ open: expected, worker: expected })
  })

  it('creates and converts files', () => {
    for (const file of ['new.qcow2', 'small.qcow2']) rmSync(join(folder, file), { force: true })
    run('example.mjs')
    expect(check(join(folder, 'new.qcow2'))).toBe('clean')
    qemuImg('compare', '-q', join(folder, 'new.qcow2'), join(folder, 'small.qcow2'))
  })
})
