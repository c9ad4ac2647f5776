import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll } from 'vitest'
import { Random } from './random.js'

const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The path of a file in this test file's own folder, which is removed behind it; a path stays as it is. */
export function file(name: string): string {
  return resolve(folder, name)
}

/** Runs `qemu-img` in that folder; returns what it prints. */
export function qemuImg(...args: string[]): string {
  return execFileSync('qemu-img', args, { cwd: folder, encoding: 'utf8' })
}

/** Runs `qemu-io` with a command each. */
export function qemuIo(image: string, ...commands: string[]): void {
  execFileSync('qemu-io', [...commands.flatMap((command) => ['-c', command]), image], { cwd: folder })
}

/** What `qemu-img check` finds: nothing, or leaks, which a crash may leave; anything worse is an error. */
export function check(image: string): 'clean' | 'leaks' {
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', image], { cwd: folder, encoding: 'utf8' })
  if (status === 0) return 'clean'
  if (status === 3) return 'leaks'
  throw new Error(stdout + stderr)
}

/** Makes an image of a given size. */
export function create(name: string, size: string | number, ...options: string[]): string {
  qemuImg('create', '-q', '-f', 'qcow2', ...options, name, String(size))
  return file(name)
}

/** Makes an image out of bytes; `options` are `convert`'s. */
export function convert(name: string, bytes: Uint8Array, ...options: string[]): string {
  writeFileSync(file(`${name}.raw`), bytes)
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...options, `${name}.raw`, name)
  return file(name)
}

/** The contents of an image's disk as QEMU sees them. */
export function disk(name: string): Uint8Array {
  qemuImg('convert', '-O', 'raw', name, `${name}.disk`)
  return readFileSync(file(`${name}.disk`))
}

/** Where two arrays begin to differ; −1 where they don't. Quicker than `toEqual`, and shorter when it fails. */
export function difference(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length)
  if (Buffer.compare(one, other) === 0) return -1
  for (let at = 0; at < length; at += 1) if (one[at] !== other[at]) return at
  return length
}

/** Puts bytes into a file. */
export function save(name: string, bytes: Uint8Array): string {
  writeFileSync(file(name), bytes)
  return file(name)
}

/** What `qemu-img` says of an image as JSON. */
export function json<T>(command: 'info' | 'map', name: string): T {
  return JSON.parse(qemuImg(command, '--output=json', name)) as T
}

/** Bytes with all that makes images interesting: text that can be compressed, noise that can't, and zeros. */
export function contents(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const random = new Random(seed)
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size; ) {
    const length = Math.min(1 + random.below(200_000), size - at)
    const kind = random.below(3)
    for (let index = at; kind > 0 && index < at + length; index += 1) {
      bytes[index] = kind === 1 ? random.below(256) : 97 + ((index * 7) % 26)
    }
    at += length
  }
  return bytes
}
