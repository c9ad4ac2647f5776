import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildWithVite, buildWithWebpack, install, writeApp } from './helpers/package.js'
import { contents, convert } from './helpers/qemu.js'

let folder = ''
const bytes = contents(300_000)
const image = convert('image.qcow2', bytes)

beforeAll(() => {
  folder = install()
}, 120_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const installed = (...parts: string[]) => join(folder, 'node_modules', 'qcow2-web', ...parts)
const files = (path: string, ending: string) =>
  readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith(ending))

/** Runs a program in the folder where the package is installed; returns what it prints. */
function node(program: string, ...args: string[]): string {
  writeFileSync(join(folder, 'program.mjs'), program)
  return execFileSync(process.execPath, [...args, 'program.mjs'], { cwd: folder, encoding: 'utf8' }).trim()
}

const reading = (name: string) => `
import { nodeFile, Qcow2 } from '${name}'
const image = await Qcow2.open(nodeFile(${JSON.stringify(image)}))
const bytes = await image.read(1000, 10)
await image.close()
console.log([...bytes].join())
`

describe('the archive', () => {
  it('holds what is needed, and nothing else', () => {
    expect(readdirSync(installed()).toSorted()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'dist',
      'package.json',
    ])
    const { exports } = JSON.parse(readFileSync(installed('package.json'), 'utf8'))
    const targets = Object.values(exports).flatMap((each) =>
      typeof each === 'string'
        ? each
        : Object.values(each as object).flatMap((target) =>
            typeof target === 'string' ? target : Object.values(target as object),
          ),
    )
    expect(targets.length).toBeGreaterThan(4)
    for (const target of targets) expect(existsSync(installed(target))).toBe(true)
    expect(files(installed('dist'), '.wasm').toSorted()).toEqual([
      join('files', 'fat', 'generated', 'qcow2_web_fat_bg.wasm'),
      join('files', 'generated', 'qcow2_web_files_bg.wasm'),
      join('files', 'luks', 'generated', 'qcow2_web_luks_bg.wasm'),
      join('generated', 'qcow2_web_bg.wasm'),
      join('reader', 'generated', 'qcow2_web_reader_bg.wasm'),
    ])
    // The viewer, which is there once the package was packed for its command, has files of its own.
    const viewer = installed('dist', 'viewer')
    const others = readdirSync(installed('dist'), { recursive: true, withFileTypes: true })
      .filter(({ parentPath }) => !parentPath.startsWith(viewer))
      .filter((entry) => entry.isFile() && !/\.(js|js\.map|cjs|d\.ts|d\.cts|wasm)$/.test(entry.name))
      .map(({ name }) => name)
    expect(others).toEqual([])
  })

  it('imports nothing that only Node has, or only browsers', () => {
    // But the command, which is for Node alone.
    for (const name of files(installed('dist'), '.js').filter((name) => !name.startsWith('cli/'))) {
      expect(readFileSync(installed('dist', name), 'utf8'), name).not.toMatch(
        /(^|[;}])\s*(import|export)\b[^;'"]*(from\s*)?["'](?!\.)/m,
      )
    }
  })

  it('declares its types', () => {
    writeFileSync(
      join(folder, 'types.ts'),
      `import { type AsyncStorage, blob, memory, Qcow2, type Qcow2ErrorCode } from 'qcow2-web'
       export async function main(file: File): Promise<number> {
         await using image = await Qcow2.open(blob(file), { backing: [memory(new Uint8Array())] })
         const bytes: Uint8Array<ArrayBuffer> = await image.read(0, 512)
         const code: Qcow2ErrorCode = 'CLOSED'
         for await (const extent of image.map()) if (extent.offset === undefined) return extent.start
         const own: AsyncStorage = { size: () => 1, read: async (_offset, length) => new Uint8Array(length) }
         // @ts-expect-error: a storage must be one
         await Qcow2.open({ size: 1 })
         return new Blob([bytes, code]).size + Number(await own.size())
       }`,
    )
    const index = readFileSync(installed('dist', 'index.d.ts'), 'utf8')
    const optional = [...new Set(index.match(/\b\w+Options\b/g))].toSorted()
    expect(optional.length).toBeGreaterThan(30)
    writeFileSync(
      join(folder, 'undefined.ts'),
      `import type * as qcow2 from 'qcow2-web'
       /** Each option that may be missing may be undefined as well, as where it is passed on. */
       type Undefined<T> = { [K in keyof T as object extends Pick<T, K> ? K : never]: undefined }
       type Needed<T> = { [K in keyof T as object extends Pick<T, K> ? never : K]: T[K] }
       declare function all<T>(): Undefined<T> & Needed<T>
       ${optional.map((name) => `export const a${name}: qcow2.${name} = all<qcow2.${name}>()`).join('\n')}`,
    )
    const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
    const options = [
      '--noEmit',
      '--strict',
      '--exactOptionalPropertyTypes',
      '--target',
      'es2022',
      '--lib',
      'es2023,esnext.disposable,dom,dom.asynciterable',
    ]
    for (const module of [
      ['--module', 'nodenext'],
      ['--module', 'esnext', '--moduleResolution', 'bundler'],
    ]) {
      execFileSync(process.execPath, [tsc, ...options, ...module, 'types.ts', 'undefined.ts'], {
        cwd: folder,
        stdio: 'pipe',
      })
    }
  }, 120_000)
})

describe('Node', () => {
  const expected = [...bytes.subarray(1000, 1010)].join()

  it('imports the package', () => {
    expect(node(reading('qcow2-web'))).toBe(expected)
  })

  it('imports it with the module within', () => {
    const wasm = installed('dist', 'reader', 'generated', 'qcow2_web_reader_bg.wasm')
    renameSync(wasm, `${wasm}.away`)
    try {
      expect(node(reading('qcow2-web/inline'))).toBe(expected)
      expect(() => node(reading('qcow2-web'))).toThrow(/LOAD_FAILED/)
    } finally {
      renameSync(`${wasm}.away`, wasm)
    }
  })

  it('imports it where nothing of the web is there', () => {
    const globals = ['Blob', 'ReadableStream', 'AbortController', 'AbortSignal', 'fetch', 'Response', 'URL', 'Worker']
    const without = globals.map((name) => `delete globalThis.${name};`).join('')
    const imported = `${without} console.log(Object.keys(await import('qcow2-web')).toSorted().join())`
    expect(node(imported)).toBe(
      'Qcow2,Qcow2Error,amend,bestStorage,blob,capabilities,check,commit,compact,compare,configure,convert,draft,estimate,fileHandle,http,idb,init,inspect,isDisk,isQcow2Error,measure,memory,nodeFile,openDisk,opfs,overlay,persist,prefetched,raw,readAhead,rebase,reclaimable,recorded,repair,sameBase,sameFile',
    )
  })
})

describe.each([
  ['Vite', buildWithVite],
  ['webpack', buildWithWebpack],
])('%s', (name, build) => {
  const built = async (app: string) => {
    const { out, warnings } = await build(app)
    expect(warnings).toEqual([])
    return files(out, '.wasm').map((file) => statSync(join(out, file)).size)
  }
  const sizes = (...paths: string[]) => paths.map((path) => statSync(installed('dist', path)).size)
  const modules = ['generated/qcow2_web_bg.wasm', 'reader/generated/qcow2_web_reader_bg.wasm'] as const

  it('builds an app with both modules of the engine, and warns of nothing', async () => {
    expect((await built(writeApp(folder, name))).toSorted()).toEqual(sizes(...modules).toSorted())
  }, 120_000)

  it('builds an app that only reads with the module that only reads', async () => {
    const app = join(folder, `${name}-read`)
    mkdirSync(app)
    writeFileSync(join(app, 'index.html'), '<!doctype html><script type="module" src="./main.js"></script>')
    writeFileSync(join(app, 'main.js'), "import { http, Qcow2 } from 'qcow2-web/read'\nQcow2.open(http('disk.qcow2'))")
    writeFileSync(join(app, 'worker.js'), '')
    expect(await built(app)).toEqual(sizes(modules[1]))
  }, 120_000)
})
