import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { memory, nodeFile, Qcow2 } from 'qcow2-web'
import { type FilesDisk, type Volume, volumes } from 'qcow2-web/files'
import { beforeAll, describe, expect, test } from 'vitest'
import { run } from './helpers/programs'
import { difference, file, qemuImg } from './helpers/qemu'

const MIB = 1024 * 1024
const passphrase = 'correct horse'
const big = Uint8Array.from({ length: 3 * MIB + 77 }, (_, index) => (index * 2_654_435_761) >>> 11)
/** The least work that cryptsetup derives a key with. */
const cheap = {
  pbkdf2: ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'],
  argon2id: ['--pbkdf', 'argon2id', '--pbkdf-memory', '1024', '--pbkdf-force-iterations', '4', '--pbkdf-parallel', '2'],
  argon2i: ['--pbkdf', 'argon2i', '--pbkdf-memory', '1024', '--pbkdf-force-iterations', '4', '--pbkdf-parallel', '1'],
}

/** Encrypts a copy of the file system with cryptsetup, in LUKS2. The last 32 MiB make room for its header. */
function luks2(name: string, ...options: string[]): string {
  copyFileSync(file('plain.raw'), file(name))
  truncateSync(file(name), 56 * MIB)
  const how = ['reencrypt', '--encrypt', '--type', 'luks2', '--reduce-device-size', '32M', '--force-offline-reencrypt']
  const quiet = ['--batch-mode', '--disable-locks', '--key-file', file('key')]
  run('cryptsetup', [...how, ...quiet, ...options, file(name)])
  return file(name)
}

/** Encrypts the file system with QEMU, in LUKS1. */
function luks1(name: string, options: string): string {
  const secret = ['--object', `secret,id=secret,data=${passphrase}`]
  const all = `key-secret=secret,iter-time=10,${options}`
  qemuImg('convert', '-f', 'raw', '-O', 'luks', ...secret, '-o', all, 'plain.raw', name)
  return file(name)
}

beforeAll(() => {
  const root = file('tree')
  mkdirSync(join(root, 'dir'), { recursive: true })
  writeFileSync(join(root, 'dir', 'big.bin'), big)
  writeFileSync(join(root, 'hello.txt'), 'Hallo')
  writeFileSync(file('key'), passphrase)
  run('truncate', ['-s', '24M', file('plain.raw')])
  run('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '4096', '-L', 'inside', '-d', root, file('plain.raw')])
  luks1('luks1', 'cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64')
  luks2('luks2', ...cheap.argon2id)
}, 60_000)

function opened(bytes: Uint8Array): FilesDisk {
  return { size: bytes.length, read: async (offset, length) => bytes.slice(offset, offset + length) }
}

const bytesOf = (path: string) => new Uint8Array(readFileSync(path))

/** The one container of a disk. */
async function container(disk: FilesDisk, options = {}): Promise<Volume> {
  const found = await volumes(disk, options)
  expect(found.map(({ id, locked, supported, container }) => [id, locked, supported, container])).toEqual([
    ['disk', true, false, true],
  ])
  return found[0] as Volume
}

async function expectContent(inside: readonly Volume[], id = 'disk/content'): Promise<void> {
  expect(inside.map(({ id, type, label, supported }) => [id, type, label, supported])).toEqual([
    [id, 'ext4', 'inside', true],
  ])
  const [volume] = inside as [Volume]
  try {
    expect(Buffer.from(await volume.read('/hello.txt')).toString()).toBe('Hallo')
    expect(difference(await volume.read('/dir/big.bin'), big)).toBe(-1)
    expect(await volume.read('/dir/big.bin', 1_000_001, 513)).toEqual(big.slice(1_000_001, 1_000_514))
  } finally {
    volume.close()
  }
}

describe.each([
  ['luks1', 'LUKS1'],
  ['luks2', 'LUKS2'],
])('a container of %s', (name, title) => {
  test.each([true, false])('is unlocked by its passphrase (in a worker: %s)', async (worker) => {
    const locked = await container(opened(bytesOf(file(name))), { worker })
    expect(locked).toMatchObject({ type: name, title })
    await expect(locked.stat('/')).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await expect(locked.unlock('wrong')).rejects.toMatchObject({ name: 'FilesError', code: 'WRONG_PASSPHRASE' })
    await expectContent(await locked.unlock(passphrase))
    await expectContent(await locked.unlock(bytesOf(file('key'))))
    locked.close()
  })

  test('is read where the disk can be read synchronously', async () => {
    const bytes = bytesOf(file(name))
    const disk = {
      ...opened(bytes),
      sync: true,
      readSync: (at: number, length: number) => bytes.slice(at, at + length),
    }
    await expectContent(await (await container(disk)).unlock(passphrase))
  })
})

test.each([
  ['argon2i', [...cheap.argon2i]],
  ['PBKDF2 and sectors of 4096 bytes', [...cheap.pbkdf2, '--sector-size', '4096']],
  ['SHA-512 and a key of 256 bits', [...cheap.pbkdf2, '--hash', 'sha512', '--key-size', '256']],
])('LUKS2 with %s is read', async (_, options) => {
  const locked = await container(opened(bytesOf(luks2('other', ...options))))
  await expectContent(await locked.unlock(passphrase))
})

test.each([
  'serpent-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256',
  'twofish-256,cipher-mode=xts,ivgen-alg=plain64',
])('LUKS1 with %s is read', async (cipher) => {
  const locked = await container(opened(bytesOf(luks1('other', `cipher-alg=${cipher}`))))
  await expectContent(await locked.unlock(passphrase))
})

test('a cipher that is not supported is named', async () => {
  const locked = await container(
    opened(bytesOf(luks1('other', 'cipher-alg=cast5-128,cipher-mode=cbc,ivgen-alg=plain64'))),
  )
  const message = 'The cipher cast5-cbc-plain64 with the hash sha256 is not supported.'
  await expect(locked.unlock(passphrase)).rejects.toMatchObject({ code: 'UNSUPPORTED', message })
})

test('any of several passphrases opens a container', async () => {
  copyFileSync(file('luks2'), file('two'))
  writeFileSync(file('second'), 'second')
  const quiet = ['--batch-mode', '--disable-locks', '--key-file', file('key')]
  run('cryptsetup', ['luksAddKey', ...quiet, ...cheap.pbkdf2, file('two'), file('second')])
  await expectContent(await (await container(opened(bytesOf(file('two'))))).unlock('second'))
})

test('a container in a partition of an image is unlocked', async () => {
  const bytes = bytesOf(file('luks2'))
  run('truncate', ['-s', '64M', file('disk.raw')])
  run('sfdisk', ['--quiet', file('disk.raw')], 'label: gpt\nstart=2048, size=2048\nstart=4096, size=116736\n')
  const disk = bytesOf(file('disk.raw'))
  disk.set(bytes, 4096 * 512)
  writeFileSync(file('disk.raw'), disk)
  qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'disk.qcow2')
  const image = await Qcow2.open(nodeFile(file('disk.qcow2')))
  try {
    const found = await volumes(image)
    expect(found.map(({ id, locked }) => [id, locked])).toEqual([
      ['p1', false],
      ['p2', true],
    ])
    await expectContent(await (found[1] as Volume).unlock(passphrase), 'p2/content')
  } finally {
    await image.close()
  }
})

test('the content of an image in memory is unlocked in this thread too', async () => {
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', file('luks2'), 'memory.qcow2')
  const image = await Qcow2.open(memory(bytesOf(file('memory.qcow2'))))
  await expectContent(await (await container(image, { worker: false })).unlock(passphrase))
  await image.close()
})

/** Changes the text of a LUKS2 header, and makes its checksum right. */
function changed(from: string, to: string): Uint8Array {
  const bytes = Buffer.from(readFileSync(file('luks2')))
  const size = Number(bytes.readBigUInt64BE(8))
  const text = bytes.toString('latin1', 4096, size)
  expect(text).toContain(from)
  bytes.write(text.replace(from, to).slice(0, size - 4096), 4096, 'latin1')
  bytes.fill(0, 448, 512)
  createHash('sha256').update(bytes.subarray(0, size)).digest().copy(bytes, 448)
  return bytes
}

describe('a header that is corrupt', () => {
  test('is read from its second copy', async () => {
    const bytes = bytesOf(file('luks2'))
    bytes.fill(0xff, 4096 + 20, 4096 + 60)
    await expectContent(await (await container(opened(bytes))).unlock(passphrase))
  })

  test('in both copies is refused', async () => {
    const bytes = bytesOf(file('luks2'))
    bytes.fill(0xff, 4096 + 20, 4096 + 60)
    bytes.fill(0xff, 0x4000 + 4096 + 20, 0x4000 + 4096 + 60)
    await expect((await container(opened(bytes))).unlock(passphrase)).rejects.toMatchObject({ code: 'DAMAGED' })
  })

  test.each([
    ['"stripes":4000', '"stripes":4001', 'UNSUPPORTED'],
    ['"sector_size":512', '"sector_size":100', 'UNSUPPORTED'],
    ['"iv_tweak":"0"', '"iv_tweak":"x"', 'DAMAGED'],
    ['"type":"argon2id"', '"type":"argon2xx"', 'UNSUPPORTED'],
    ['"time":4', '"time":0', 'LIMIT'],
    ['"memory":1024', '"memory":9999999', 'LIMIT'],
    ['"keyslots"', '"keyslits"', 'DAMAGED'],
    ['"type":"crypt"', '"type":"clear"', 'UNSUPPORTED'],
    ['{"keyslots"', '["keyslots"', 'DAMAGED'],
  ])('says so: %s becomes %s', async (from, to, code) => {
    const locked = await container(opened(changed(from, to)))
    await expect(locked.unlock(passphrase)).rejects.toMatchObject({ name: 'FilesError', code })
  })
})

test('deriving a key is aborted at once', async () => {
  // Hours of work.
  const disk = opened(changed('"time":4', '"time":40000000'))
  const locked = await container(disk)
  const abort = new AbortController()
  const reason = new Error('no more')
  const { read } = disk
  Object.assign(disk, {
    read(offset: number, length: number) {
      // The material of the slot is the last thing that is read.
      if (offset + length > 0x8000) setImmediate(() => abort.abort(reason))
      return read(offset, length)
    },
  })
  await expect(locked.unlock(passphrase, { signal: abort.signal })).rejects.toBe(reason)
})

test('what is no passphrase is refused', async () => {
  const locked = await container(opened(bytesOf(file('luks1'))))
  await expect(locked.unlock(5 as unknown as string)).rejects.toMatchObject({ code: 'INVALID' })
  await expect(locked.unlock('')).rejects.toMatchObject({ code: 'WRONG_PASSPHRASE' })
})
