import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, expect } from 'vitest'
import { run } from '../../../src/js/cli/run.js'

const root = mkdtempSync(join(tmpdir(), 'qcow2-web-cli-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** What a command did: its exit code and what it printed. */
export interface Outcome {
  readonly line: string
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** A script that is run twice, each time in a directory of its own: with qemu-img, and with this command. */
export interface Lab {
  readonly theirs: string
  readonly ours: string
}

let labs = 0

/** Two empty directories. */
export function lab(): Lab {
  labs += 1
  const [theirs, ours] = [join(root, `${labs}`, 'theirs'), join(root, `${labs}`, 'ours')]
  for (const each of [theirs, ours]) mkdirSync(each, { recursive: true })
  return { theirs, ours }
}

/**
 * Runs a script in both directories and expects the same exit codes and the same output.
 *
 * Each line is a command with its arguments, or begins with `$`: a shell command, or with `=`: a command that qemu-img runs in both
 * directories. `?` before a command leaves its error output out, where only the exit code is defined; `~` leaves out where things are
 * in the file, for the order of allocation is free.
 */
export async function same(script: string, { theirs, ours } = lab()): Promise<void> {
  const [expected, found]: [Outcome[], Outcome[]] = [[], []]
  for (const text of script.split('\n')) {
    const line = text.trim()
    if (line === '' || line.startsWith('#')) continue
    if (line.startsWith('$')) {
      for (const directory of [theirs, ours]) shell(line.slice(1), directory)
    } else if (line.startsWith('=')) {
      for (const directory of [theirs, ours]) qemuImg(line.slice(1), directory)
    } else {
      const [, marks = '', command = ''] = /^([?~]*)\s*(.*)$/s.exec(line) ?? []
      const seen = (outcome: Outcome): Outcome => ({
        ...outcome,
        err: marks.includes('?') ? '' : outcome.err,
        out: marks.includes('~') ? withoutPlaces(outcome.out) : outcome.out,
      })
      const [one, other] = [seen(qemuImg(command, theirs)), seen(await here(command, ours))]
      if (isDeepStrictEqual(one, other)) continue
      expected.push(one)
      found.push(other)
    }
  }
  expect(found).toEqual(expected)
}

/** Runs a command of this package. */
export async function here(line: string, cwd: string): Promise<Outcome> {
  let [out, err] = ['', '']
  const code = await run(words(line), { cwd, out: (text) => (out += text), err: (text) => (err += text) }, '0.0.0')
  return neutral({ line, code, out, err }, cwd)
}

function qemuImg(line: string, cwd: string): Outcome {
  const { status, stdout, stderr } = spawnSync('qemu-img', words(line), { cwd, encoding: 'utf8' })
  return neutral({ line, code: status, out: stdout, err: stderr }, cwd)
}

function shell(line: string, cwd: string): void {
  const { status, stderr } = spawnSync('sh', ['-c', line], { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${line}: ${stderr}`)
}

/** Leaves out what differs between any two runs: the directory and the time. */
function neutral(outcome: Outcome, cwd: string): Outcome {
  const without = (text: string) =>
    text
      .replaceAll(cwd, '<directory>')
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, '<date and time>')
      .replace(/"date-n?sec": \d+/g, (found) => found.replace(/\d+/, '<time>'))
      .replace(/#block\d+/g, '#block')
  return { ...outcome, out: without(outcome.out), err: without(outcome.err) }
}

/** Leaves out where data is in a file, and how long that is. */
function withoutPlaces(text: string): string {
  return text
    .replace(/(disk size|file length|Image end offset): .*/g, '$1: <place>')
    .replace(/("actual-size"|"image-end-offset"|\n {16,}"virtual-size"): \d+/g, '$1: <place>')
    .replace(/"offset": \d+/g, '"offset": <place>')
    .replace(/[\d.]+% fragmented/g, '<place> fragmented')
    .replace(/\n *"fragmented-clusters": \d+,/g, '')
}

/** The words of a line, as a shell splits it. */
export function words(line: string): string[] {
  const found: string[] = []
  const pattern = /\s*((?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+)/gsy
  for (let match = pattern.exec(line); match; match = pattern.exec(line)) {
    const word = (match[1] ?? '').replace(
      /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/gs,
      (_, single, double, escaped) => single ?? escaped ?? (double as string).replace(/\\(["\\$`])/g, '$1'),
    )
    found.push(word)
  }
  return found
}
