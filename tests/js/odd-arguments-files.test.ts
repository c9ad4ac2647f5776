import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { isQcow2Error } from 'qcow2-web'
import { FilesError, type Volume, volumes } from 'qcow2-web/files'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { oddCalls } from './helpers/odd.js'
import { run } from './helpers/programs.js'
import { file } from './helpers/qemu.js'

const watch = { signal: new AbortController().signal, onProgress: () => {} }
let bytes: Uint8Array
let volume: Volume

beforeAll(async () => {
  writeFileSync(file('one.txt'), 'one')
  writeFileSync(file('disk.raw'), '')
  truncateSync(file('disk.raw'), 2 ** 20)
  run('mkfs.vfat', ['disk.raw'])
  run('mcopy', ['-i', 'disk.raw', 'one.txt', '::/one.txt'])
  bytes = readFileSync(file('disk.raw'))
  volume = (await volumes(disk(), { worker: false }))[0] as Volume
})

afterAll(() => volume.close())

const disk = () => ({ size: bytes.length, read: async (at: number, length: number) => bytes.slice(at, at + length) })

type Call = readonly [args: () => readonly unknown[], call: (...args: never[]) => unknown]

const calls: Record<string, Call> = {
  volumes: [
    () => [disk(), { worker: false, deadline: 5000, onProblem: () => {}, signal: watch.signal }],
    async (...args) => {
      for (const each of await volumes(...(args as unknown as Parameters<typeof volumes>))) each.close()
    },
  ],
  list: [() => ['/', watch], (...args) => volume.list(...(args as []))],
  stat: [() => ['/one.txt', { follow: true, ...watch }], (...args) => volume.stat(...(args as unknown as [string]))],
  read: [() => ['/one.txt', 0, 3, watch], (...args) => volume.read(...(args as unknown as [string]))],
  readable: [
    () => ['/one.txt', { offset: 0, length: 3, ...watch }],
    (...args) => volume.readable(...(args as unknown as [string])),
  ],
  readLink: [() => ['/one.txt', watch], (...args) => volume.readLink(...(args as unknown as [string]))],
  readLinkBytes: [() => ['/one.txt', watch], (...args) => volume.readLinkBytes(...(args as unknown as [string]))],
  usage: [() => [watch], (...args) => volume.usage(...(args as []))],
  zip: [() => [['/one.txt'], { onSkip: () => {}, ...watch }], (...args) => volume.zip(...(args as unknown as [[]]))],
  tar: [() => [['/one.txt'], { onSkip: () => {}, ...watch }], (...args) => volume.tar(...(args as unknown as [[]]))],
}

const odd = oddCalls(
  (error) =>
    (error instanceof FilesError && error.code !== 'CRASHED') || (isQcow2Error(error) && error.kind !== 'engine'),
)

describe('an operation on files refuses what it cannot take, and the volume works on', () => {
  it.each(Object.entries(calls))('%s', async (_, [args, call]) => {
    expect(await odd.attempt(args, call)).toEqual([])
    expect(new TextDecoder().decode(await volume.read('/one.txt'))).toBe('one')
  })
})
