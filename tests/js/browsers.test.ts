import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { CompatData, CompatStatement, SimpleSupportStatement } from '@mdn/browser-compat-data'
import { expect, it } from 'vitest'
import { platformUses, type Use } from './helpers/platform.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** MDN's data about which release of a browser has which feature. */
const data: CompatData = createRequire(import.meta.url)('@mdn/browser-compat-data')
const platforms = ['chrome', 'edge', 'firefox', 'safari', 'nodejs'] as const
type Named = Pick<Use, 'owners' | 'member'>
type Platform = (typeof platforms)[number]

/** What the compiler does not see: the syntax that the build leaves, what the module is compiled for, and the worker's kind. */
const everywhere = [
  'javascript.classes.private_class_fields',
  'javascript.classes.private_class_methods',
  'javascript.operators.import_meta',
  'javascript.operators.nullish_coalescing_assignment',
  'javascript.operators.optional_chaining',
  'webassembly.BigInt-to-i64-integration',
  'webassembly.bulk-memory-operations',
  'webassembly.fixed-width-SIMD',
  'webassembly.multi-value',
  'webassembly.non-trapping-float-to-int-conversions',
  'webassembly.reference-types',
  'webassembly.sign-extension-operations',
  'api.Worker.Worker.ecmascript_modules',
]

/** What the package does without where it is missing: each is asked for before it is used. */
const optional = [
  // `fileHandle`, and `opfs` where there are no workers; `capabilities` reports both.
  'api.FileSystemFileHandle.createWritable',
  'api.FileSystemWritableFileStream',
  // Names of files are in a database of their own where the browser does not list its databases.
  'api.IDBFactory.databases',
  // A `Blob` is read by slices there.
  'api.ReadableStreamBYOBReader',
  // `estimate` returns `undefined` there.
  'api.StorageManager.estimate',
  // A symbol is missing, and so is the method of that name.
  'javascript.builtins.Symbol.asyncDispose',
]

/** Not for Node: it has no such storage, and the package asks for it. */
const inBrowsersAlone =
  /^api\.(Document|ErrorEvent|FileSystem|IDB|Location|LockManager|Navigator|StorageManager|Window|Worker|XMLHttpRequest|indexedDB)/

/** From whom they have members that the data has there alone. */
const ancestors: Record<string, string[]> = {
  AbortSignal: ['EventTarget'],
  AsyncIterator: ['AsyncGenerator'],
  FileSystemDirectoryHandle: ['FileSystemHandle'],
  FileSystemFileHandle: ['FileSystemHandle'],
  ImportMeta: ['operators.import_meta'],
  MessageEventTarget: ['MessagePort'],
  WebAssembly: ['api'],
  Worker: ['EventTarget'],
  document: ['Window.document'],
  location: ['Window.location'],
  navigator: ['Window.navigator'],
  window: ['Window.window'],
}

/** The command and the storage of files are for Node alone, whose own modules have no such data. */
const uses = platformUses(root).filter(({ file }) => !/^(cli|storage\/node)\//.test(file))
const features = new Map(uses.map((use) => [name(use), featureOf(use)]))

function name({ owners, member }: Named): string {
  return [owners.join(' or '), member].filter(Boolean).join('.')
}

/** Where the data has it, by the first of the names that it may have there. */
function featureOf({ owners, member }: Named): string | undefined {
  if (member === 'prototype') return featureOf({ owners, member: undefined })
  if (owners[0] === 'globalThis') return featureOf({ owners: [member ?? 'globalThis'], member: undefined })
  const parents = [
    ...owners.flatMap((owner) => [owner, ...(ancestors[owner] ?? [])]),
    ...owners.filter(isTyped).map(() => 'TypedArray'),
  ]
  const members = member ? [member, `${member}_static`, `${member.replace(/^on/, '')}_event`] : [undefined]
  const paths = parents.flatMap((owner) => members.map((each) => [owner, each].filter(Boolean).join('.')))
  const tables = ['api', 'javascript.builtins', 'webassembly', 'webassembly.api', 'javascript']
  return paths.flatMap((path) => tables.map((table) => `${table}.${path}`)).find((path) => compat(path))
}

function isTyped(owner: string): boolean {
  return /^(Big)?(Int|Uint|Float)\d+(Clamped)?Array$/.test(owner)
}

function compat(path: string): CompatStatement | undefined {
  let node: unknown = data
  for (const part of path.split('.')) {
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, part)) return undefined
    node = (node as Record<string, unknown>)[part]
  }
  return (node as { __compat?: CompatStatement }).__compat
}

/** The first release of a platform that has a feature by its name and without a setting. */
function since(feature: string, platform: Platform): string | undefined {
  const statements = [compat(feature)?.support[platform] ?? []].flat() as SimpleSupportStatement[]
  const plain = statements.find(({ prefix, flags, alternative_name }) => !prefix && !flags && !alternative_name)
  const version = plain?.version_added
  return typeof version === 'string' ? version.replace('≤', '') : undefined
}

const number = (version: string) =>
  version.split('.').reduce((sum, part, index) => sum + Number(part) / 1000 ** index, 0)

/** What a platform has to have, each with its first release. */
function needed(platform: Platform): [string, string][] {
  const found = [...features.values()].filter((feature) => feature !== undefined)
  return [...new Set([...found, ...everywhere])]
    .filter((feature) => !optional.some((each) => `${feature}.`.startsWith(`${each}.`)))
    .filter((feature) => platform !== 'nodejs' || !(inBrowsersAlone.test(feature) || feature.startsWith('webassembly')))
    .map((feature) => [feature, since(feature, platform) ?? 'none'])
}

/** The oldest release that has everything. */
function oldest(platform: Platform): string {
  return needed(platform).reduce((newest, [, version]) => (number(version) > number(newest) ? version : newest), '0')
}

it('the data knows everything of the platform that the package uses', () => {
  expect(uses.length).toBeGreaterThan(1000)
  expect([...features].filter(([, feature]) => feature === undefined).map(([use]) => use)).toEqual([])
  expect([...everywhere, ...optional].filter((feature) => !compat(feature))).toEqual([])
})

it.each(platforms)('there is a release of %s that has everything', (platform) => {
  expect(needed(platform).filter(([, version]) => version === 'none')).toEqual([])
})

it('the README names the oldest browsers that have everything', () => {
  const text = readFileSync(`${root}/README.md`, 'utf8')
  const [, chrome, firefox, safari] = /Chrome and Edge ([\d.]+), Firefox ([\d.]+), Safari ([\d.]+),/.exec(text) ?? []
  expect({ chrome, edge: chrome, firefox, safari }).toEqual({
    chrome: oldest('chrome'),
    edge: oldest('edge'),
    firefox: oldest('firefox'),
    safari: oldest('safari'),
  })
})

it('the oldest Node that installs the package has everything', () => {
  const { engines } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
  const [, node = ''] = /\^([\d.]+)/.exec(engines.node) ?? []
  expect(needed('nodejs').filter(([, version]) => number(version) > number(node))).toEqual([])
})
