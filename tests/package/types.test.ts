import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { install } from '../js/helpers/package.js'
import { complaints, environments, writePrograms } from './declarations.js'

const compiler = join(createRequire(import.meta.url).resolve('typescript/package.json'), '..')
let folder = ''

beforeAll(() => {
  folder = install()
  writePrograms(folder)
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the declarations', () => {
  it.each(environments)('need nothing %s, from ES modules and from CommonJS', (_, lib) => {
    expect(complaints(compiler, folder, ['module.mts', 'script.cts'], { lib, module: 'node16' })).toBe('')
  })

  it('need nothing with the resolution of bundlers', () => {
    const options = { lib: ['es2022', 'dom'], module: 'esnext', moduleResolution: 'bundler' }
    expect(complaints(compiler, folder, ['module.mts'], options)).toBe('')
  })
})
