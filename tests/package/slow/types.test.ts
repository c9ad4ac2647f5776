import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { install } from '../../js/helpers/package.js'
import { complaints, environments, writePrograms } from '../declarations.js'
import { add } from '../lab.js'

/** The oldest that the package promises to work with, an old one, and the newest. */
const releases = { oldest: '5.4', old: '5.9', newest: 'latest' }
let folder = ''

beforeAll(() => {
  folder = install()
  writePrograms(folder)
  add(folder, ...Object.entries(releases).map(([name, release]) => `${name}@npm:typescript@${release}`))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const compiler = (name: string) => join(folder, 'node_modules', name)

describe.each(Object.keys(releases))('the declarations in the %s TypeScript', (name) => {
  it.each(environments)('need nothing %s, from ES modules and from CommonJS', (_, lib) => {
    const files = ['module.mts', 'script.cts']
    expect(complaints(compiler(name), folder, files, { lib, module: 'node16' })).toBe('')
    expect(complaints(compiler(name), folder, files, { lib, module: 'node16', skipLibCheck: true })).toBe('')
  })

  it('need nothing with the resolution of bundlers', () => {
    const options = { lib: ['es2022', 'dom'], module: 'esnext', moduleResolution: 'bundler' }
    expect(complaints(compiler(name), folder, ['module.mts'], options)).toBe('')
  })
})

it('the declarations are found by a resolver that knows no exports', () => {
  const options = { lib: ['es2022', 'dom'], module: 'commonjs', moduleResolution: 'node' }
  expect(complaints(compiler('oldest'), folder, ['old.ts'], options)).toBe('')
})
