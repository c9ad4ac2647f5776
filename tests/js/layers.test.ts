import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const src = fileURLToPath(new URL('../../src/js', import.meta.url))

/** The layers of the package, the lowest first. A directory belongs to the longest of these that begins its path. */
const layers = [
  'generated',
  // Holds what the build generates of the module that only reads.
  'reader',
  'base',
  'disk',
  'worker/rpc',
  'storage',
  'engine',
  'worker',
  'image',
  'file',
  'convert',
  // index.ts, inline.ts and read.ts: the public package, over which the entry points are built.
  '.',
  'hosts',
  'files',
  'cli',
]

/** Layers of entry points side by side: each is published on its own. */
const siblings = ['hosts', 'files', 'cli']

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))

/** The files that each file imports, also those of which it imports types alone. */
const imports = new Map(files.map((file) => [file, importsOf(file)]))

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8')
  const specifiers = [...text.matchAll(/^(?:import|export)\s(?:[^'"]*?\sfrom\s)?['"](\.[^'"]+)['"]/gm)]
  const dynamic = [...text.matchAll(/\bimport\(\s*['"](\.[^'"]+)['"]/g)]
  return [...specifiers, ...dynamic].map(([, specifier = '']) => {
    const target = relative(src, resolve(src, dirname(file), specifier)).replaceAll('\\', '/')
    return target.replace(/\.js$/, '.ts')
  })
}

function isGenerated(file: string): boolean {
  return /^(reader\/|files\/((fat|luks)\/)?)?generated\//.test(file)
}

function layerOf(file: string): string {
  const among = layers.filter((layer) => file.startsWith(`${layer}/`))
  return among.sort((a, b) => b.length - a.length)[0] ?? '.'
}

it('finds the imports of every file', () => {
  expect(imports.get('index.ts')).toContain('image/qcow2.ts')
  const unknown = [...imports].flatMap(([file, found]) =>
    found.filter((each) => !isGenerated(each) && !imports.has(each)).map((each) => `${file} -> ${each}`),
  )
  expect(unknown).toEqual([])
})

it('every directory is a layer', () => {
  expect(files.filter((file) => file.includes('/') && layerOf(file) === '.')).toEqual([])
})

it('a layer imports only from layers below it', () => {
  const wrong: string[] = []
  for (const [file, found] of imports) {
    const own = layerOf(file)
    for (const each of found) {
      const other = layerOf(each)
      const beside = siblings.includes(own) && siblings.includes(other) && own !== other
      if (beside || layers.indexOf(other) > layers.indexOf(own)) wrong.push(`${file} -> ${each}`)
    }
  }
  expect(wrong).toEqual([])
})

it('only the loaders and the inline entry import what the build generates', () => {
  const importing = [...imports].filter(([, found]) => found.some(isGenerated))
  const loaders = [
    'engine/module.ts',
    'engine/modules.ts',
    'engine/reader.ts',
    'files/archive.ts',
    'files/fat/module.ts',
    'files/luks/crypto.ts',
    'files/module.ts',
    'inline.ts',
  ]
  expect(importing.map(([file]) => file).sort()).toEqual(loaders)
})

it('files import each other in no circle', () => {
  expect(circles()).toEqual([])
})

/** The groups of files each of which leads to all others of its group (Tarjan's algorithm). */
function circles(): string[][] {
  const found: string[][] = []
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const visit = (file: string) => {
    index.set(file, index.size)
    low.set(file, index.get(file) as number)
    stack.push(file)
    for (const each of imports.get(file) ?? []) {
      if (!imports.has(each)) continue
      if (!index.has(each)) visit(each)
      if (stack.includes(each)) low.set(file, Math.min(low.get(file) as number, low.get(each) as number))
    }
    if (low.get(file) !== index.get(file)) return
    const group = stack.splice(stack.indexOf(file))
    if (group.length > 1 || imports.get(file)?.includes(file)) found.push(group.sort())
  }
  for (const file of files) if (!index.has(file)) visit(file)
  return found
}
