import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

// The vocabulary of the source. A word is here once it is gone from the directories that it names, so that it does not come back.

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The files of the repository that match. */
function listed(...patterns: readonly string[]): string[] {
  const output = execFileSync('git', ['ls-files', '-z', '--', ...patterns], { cwd: root, encoding: 'utf8' })
  return output.split('\0').filter((file) => file !== '')
}

interface Word {
  /** A pattern that matches the word as a whole, in any case: in text, and between the underscores of an identifier. */
  readonly word: string
  /** What to write instead. */
  readonly instead: string
  /** Files and directories to check. */
  readonly where: readonly string[]
  /** Lines that may have the word: the file, and a part of the line. */
  readonly except?: readonly (readonly [file: string, line: string])[]
}

const rewritten = [
  'src/bridge',
  'src/engine/blocking.rs',
  'src/engine/codec',
  'src/engine/crypto',
  'src/engine/error',
  'src/engine/examples',
  'src/engine/field.rs',
  'src/engine/format',
  'src/engine/image',
  'src/engine/lib.rs',
  'src/engine/meta',
  'src/engine/ready.rs',
  'src/engine/storage',
]

/** Directories and files of the package whose text is rewritten as a whole. */
const rewrittenTypescript = [
  'src/js/base',
  'src/js/cli',
  'src/js/convert',
  'src/js/disk',
  'src/js/engine',
  'src/js/file',
  'src/js/files',
  'src/js/hosts',
  'src/js/image',
  'src/js/index.ts',
  'src/js/inline.ts',
  'src/js/read.ts',
  'src/js/storage',
  'src/js/worker',
]

/** The viewer, and the scripts of the repository. Changing the script of the guest would build the guest anew. */
const scripts = listed('scripts/*.mjs').filter((file) => file !== 'scripts/guest.mjs')
const tools = [...scripts, 'www']

const engine = ['src/engine']
const typescript = ['src/js']
const both = [...engine, ...typescript]
const all = [...both, ...tools]

/** Files with the error code `DAMAGED` of file systems. */
const codeDamaged = ['errors', 'extents', 'luks/crypto', 'luks/version1', 'luks/version2', 'session', 'volume'].map(
  (name) => `src/js/files/${name}.ts`,
)

const words: readonly Word[] = [
  { word: 'roots', instead: 'table pointers', where: all },
  { word: 'relieves?', instead: 'write back', where: all },
  { word: 'settle[sd]?', instead: 'write back, drain or complete', where: engine },
  { word: 'in_flight', instead: 'cluster locks', where: engine },
  { word: 'give[ns]?[ _]back', instead: 'free or release', where: engine },
  { word: 'sees? to it|seen to', instead: 'ensures', where: all },
  { word: 'nobody|no one', instead: 'no request, task or caller', where: all },
  { word: 'somebody|someone', instead: 'a request, task or caller', where: all },
  { word: '(?<!into_)owned', instead: 'COPIED', where: engine },
  { word: 'but for', instead: 'except', where: all },
  { word: '(given?|gives|giving)[ _]up', instead: 'free, remove or abort', where: all },
  { word: 'mend(s|ed|ing)?', instead: 'repair', where: all },
  {
    word: 'packed',
    instead: 'compressed',
    where: [...engine, ...rewrittenTypescript, ...tools],
    // The bridge calls it by this name.
    except: [
      ['src/js/engine/handle.ts', 'write_packed(offset'],
      ['src/js/image/qcow2.ts', "run('write_packed'"],
    ],
  },
  { word: 'owes?', instead: 'is not drained', where: engine },
  { word: 'takes? note', instead: 'record or register', where: engine },
  {
    word: 'who|whoever|whom',
    instead: 'the caller, request or task that',
    where: [...rewritten, ...typescript, ...tools],
  },
  { word: 'flaws?', instead: 'corruption or problem', where: [...rewritten, ...typescript, ...tools] },
  { word: 'occupied', instead: 'metadata ranges', where: rewritten },
  {
    word: '(?<!by)heads?',
    instead: 'header',
    where: [...rewritten, ...rewrittenTypescript, ...tools],
    except: [
      ['src/js/storage/http/connection.ts', "method?: 'GET' | 'HEAD'"],
      ['src/js/storage/http/connection.ts', "lengthBy('HEAD'"],
      ['src/js/storage/http/connection.ts', "method: 'GET' | 'HEAD'"],
      ['src/js/cli/serve.ts', "'HEAD'"],
      ['src/js/hosts/serve.ts', 'HEAD'],
      ['src/js/hosts/serve/body.ts', "'HEAD'"],
      ['www/src/engine/file-kind.ts', '|html|head|body)'],
      ['www/src/network/requests.ts', "'HEAD'"],
      ['www/vite.config.ts', "'head-prepend'"],
    ],
  },
  { word: 'pieces?', instead: 'segment or step', where: [...rewritten, ...rewrittenTypescript, ...tools] },
  { word: 'unpack(s|ed|ing)?', instead: 'decompress', where: [...rewritten, ...rewrittenTypescript, ...tools] },
  {
    word: 'at once',
    instead: 'without waiting, together or immediately',
    where: [...rewrittenTypescript, ...tools],
  },
  {
    word: 'told|tells?',
    instead: 'return, report or call',
    where: all,
  },
  {
    word: 'says?',
    instead: 'record, mean or return',
    where: [...rewritten, ...typescript, 'www'],
    except: [
      ['src/js/base/package-file.ts', 'say where: configure('],
      ['src/js/cli/compare.ts', 'say'],
      ['src/js/image/open-disk.ts', 'say so:'],
    ],
  },
  {
    word: 'taken',
    instead: 'allocated, claimed, locked or removed',
    where: [...rewritten, ...rewrittenTypescript, ...tools],
  },
  {
    word: '(?<!in[ _])places?',
    instead: 'offset, position or slot',
    where: [...rewritten, ...rewrittenTypescript, ...tools],
  },
  {
    word: 'behind',
    instead: 'after or past',
    where: [...rewritten, ...typescript, ...tools],
    except: [
      // What a dropped future leaves behind.
      ['src/engine/meta/cancellation.rs', 'leaves behind'],
      ['src/engine/meta/cancellation.rs', 'leaves the same state behind'],
    ],
  },
  { word: 'lies?', instead: 'is', where: [...rewritten, ...rewrittenTypescript, ...tools] },
  {
    word: 'damaged|broken',
    instead: 'corrupt or invalid',
    where: [...rewritten, ...rewrittenTypescript, ...tools],
    except: [
      // As `qemu-img convert` names it.
      ['src/js/cli/convert.ts', 'skip-broken-bitmaps'],
      // The code of an error.
      ...codeDamaged.map((file) => [file, 'DAMAGED'] as const),
    ],
  },
  {
    word: 'reference counts?',
    instead: 'refcount',
    where: [...rewritten, ...typescript, ...tools],
    // As `qemu-img create -o help` writes it.
    except: [['src/js/cli/format-options.ts', 'Width of a reference count entry in bits']],
  },
]

const sources = listed('*.rs', 'src/js/*.ts', 'scripts/*.mjs', 'www/*.ts', 'www/*.tsx')

const linesOf = new Map<string, readonly string[]>()

function read(file: string): readonly string[] {
  const lines = linesOf.get(file) ?? readFileSync(root + file, 'utf8').split('\n')
  linesOf.set(file, lines)
  return lines
}

function filesIn(where: readonly string[]): string[] {
  return sources.filter((file) => where.some((each) => file === each || file.startsWith(`${each}/`)))
}

/** Each line with the word: the place, the line, and what to write instead. */
function found({ word, instead, where, except = [] }: Word): string[] {
  const pattern = new RegExp(`(?<![A-Za-z])(?:${word})(?![A-Za-z])`, 'i')
  const isExcepted = (file: string, line: string) => except.some(([each, part]) => file === each && line.includes(part))
  return filesIn(where).flatMap((file) =>
    read(file).flatMap((line, index) => {
      const match = isExcepted(file, line) ? null : pattern.exec(line)
      return match ? [`${file}:${index + 1}: write "${instead}" instead of "${match[0]}": ${line.trim()}`] : []
    }),
  )
}

it('has only the standard terms in the source', () => {
  expect(words.flatMap(found)).toEqual([])
})

it('has only the standard terms in the names of the tests', () => {
  const files = listed('tests/js/*.test.ts', 'tests/browser/*.test.ts')
  const name = /^\s*(?:it|describe|test)(?:\.\w+(?:\(.*?\))?)*\((?=['"`])/
  const words =
    /\b(?:nobody|somebody|who(?:ever|m)?|told|tells?|says?|pieces?|damaged|lies|packed|but for|given up|mend(?:ed|s)?)\b/i
  const wrong = files.flatMap((file) =>
    read(file)
      .filter((line) => name.test(line) && words.test(line))
      .map((line) => `${file}: ${line}`),
  )
  expect(wrong.filter((line) => !/tests\/js\/(?:cli\/|v86|files)/.test(line))).toEqual([])
})

it('checks files that exist, and lists no exception without a line', () => {
  const empty = words.flatMap(({ where }) => where.filter((each) => filesIn([each]).length === 0))
  const unused = words.flatMap(({ except = [] }) =>
    except.filter(([file, part]) => !sources.includes(file) || !read(file).some((line) => line.includes(part))),
  )
  expect({ empty, unused }).toEqual({ empty: [], unused: [] })
})

it('finds a word in text and in identifiers, but not within another word', () => {
  const line = (text: string) => {
    linesOf.set('src/engine/meta/lock.rs', [text])
    return words.flatMap((word) => found({ ...word, where: ['src/engine/meta/lock.rs'] })).length
  }
  try {
    expect(['// Nobody waits.', 'fn place_of() {}', '/// Who holds it'].map(line)).toEqual([1, 1, 1])
    expect(
      ['a write in place', 'fn write_in_place() {}', 'let replaced = whole;', 'text.into_owned()'].map(line),
    ).toEqual([0, 0, 0, 0])
  } finally {
    linesOf.delete('src/engine/meta/lock.rs')
  }
})
