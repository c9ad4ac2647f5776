// Makes the seed corpus with qemu-img and qemu-io: small images of every kind, into tests/fuzz/seeds, which is committed;
// the larger ones into tests/fuzz/corpus, which is not.
//   node tests/fuzz/make-seeds.mjs
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const crate = dirname(fileURLToPath(import.meta.url))
const largest = 16 << 10
const work = mkdtempSync(join(tmpdir(), 'qcow2-seeds-'))
const call = (program, ...args) => execFileSync(program, args, { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] })
const img = (...args) => call('qemu-img', ...args)
const io = (name, ...commands) => call('qemu-io', ...commands.flatMap((command) => ['-c', command]), name)
const create = (name, options, size = '64k') => img('create', '-q', '-f', 'qcow2', '-o', options, name, size)

/** By name: how each image is made. The smallest clusters make the smallest files. */
const images = {
  'empty-v2': (name) => create(name, 'compat=0.10,cluster_size=512', '1k'),
  'empty-disk': (name) => create(name, 'cluster_size=512', '0'),
  'huge-disk': (name) => create(name, 'cluster_size=4k', '1G'),
  'data-v2': (name) => {
    create(name, 'compat=0.10,cluster_size=512', '8k')
    io(name, 'write -P 1 0 2k', 'write -P 2 5k 600')
  },
  'data-v3': (name) => {
    create(name, 'cluster_size=512,refcount_bits=1', '8k')
    io(name, 'write -P 1 0 2k', 'write -z 1k 1k', 'write -P 2 5k 600', 'discard 512 512')
  },
  lazy: (name) => {
    create(name, 'cluster_size=512,lazy_refcounts=on,refcount_bits=64', '4k')
    io(name, 'write -P 1 1k 1k')
  },
  snapshots: (name) => {
    create(name, 'cluster_size=512', '4k')
    io(name, 'write -P 1 0 1k')
    img('snapshot', '-c', 'one', name)
    io(name, 'write -P 2 512 1k')
    img('snapshot', '-c', 'two', name)
    img('resize', '-q', name, '8k')
  },
  bitmaps: (name) => {
    create(name, 'cluster_size=512', '8k')
    img('bitmap', '--add', name, 'one')
    img('bitmap', '--add', '-g', '1k', '--disable', name, 'two')
    io(name, 'write -P 1 0 1k')
  },
  backing: (name) => {
    create('base', 'cluster_size=512', '2k')
    io('base', 'write -P 1 0 1k')
    create(name, 'cluster_size=512,backing_file=base,backing_fmt=qcow2', '4k')
    io(name, 'write -P 2 512 512')
  },
  'backing-raw': (name) => {
    writeFileSync(join(work, 'base.raw'), Buffer.alloc(1536, 7))
    create(name, 'compat=0.10,cluster_size=512,backing_file=base.raw,backing_fmt=raw', '4k')
  },
  'data-file': (name) => {
    create(name, 'cluster_size=512,data_file=data.raw', '4k')
    io(name, 'write -P 2 512 1k')
  },
  'data-file-raw': (name) => create(name, 'cluster_size=512,data_file=data2.raw,data_file_raw=on', '4k'),
  deflate: (name) => {
    writeFileSync(join(work, 'text'), 'All human beings are born free and equal. '.repeat(100).slice(0, 4096))
    img('convert', '-q', '-c', '-O', 'qcow2', '-o', 'cluster_size=512', 'text', name)
  },
  zstd: (name) =>
    img('convert', '-q', '-c', '-O', 'qcow2', '-o', 'cluster_size=1k,compression_type=zstd', 'text', name),
  'extended-l2': (name) => {
    create(name, 'cluster_size=16k,extended_l2=on', '64k')
    io(name, 'write -P 1 512 1k', 'write -z 2k 1k', 'discard 16k 16k', 'write -z 32k 16k')
  },
  luks: (name) => {
    const secret = ['--object', 'secret,id=s,data=x']
    const options = 'encrypt.format=aes,encrypt.key-secret=s,cluster_size=512'
    img('create', '-q', ...secret, '-f', 'qcow2', '-o', options, name, '1k')
  },
}

/** The LUKS headers that QEMU writes, for the target `luks`. */
const headers = {
  'aes-256-xts': '',
  'aes-128-cbc-essiv':
    ',encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256',
  'serpent-256-xts': ',encrypt.cipher-alg=serpent-256,encrypt.hash-alg=sha512',
  'twofish-256-cbc': ',encrypt.cipher-alg=twofish-256,encrypt.cipher-mode=cbc,encrypt.hash-alg=ripemd160',
}

/** For the target `write`: that the image is given, and what is asked of it. */
const requests = Buffer.from([1, ...Array.from({ length: 256 }, (_, index) => (index * 37) & 255)])

/** Without the zeros at the end, which the engine reads there anyway. */
function trimmed(bytes) {
  let length = bytes.length
  while (length > 0 && bytes[length - 1] === 0) length--
  return bytes.subarray(0, length)
}

try {
  for (const target of ['header', 'image', 'luks', 'write']) {
    for (const folder of ['seeds', 'corpus']) mkdirSync(join(crate, folder, target), { recursive: true })
  }
  for (const [name, make] of Object.entries(images)) {
    make(name)
    const image = trimmed(readFileSync(join(work, name)))
    writeFileSync(join(crate, image.length > largest ? 'corpus' : 'seeds', 'image', name), image)
    writeFileSync(join(crate, 'seeds', 'header', name), image.subarray(0, 4096))
    if (image.length <= largest) writeFileSync(join(crate, 'seeds', 'write', name), Buffer.concat([requests, image]))
  }
  for (const [name, options] of Object.entries(headers)) {
    const secret = ['--object', 'secret,id=s,data=open sesame']
    const all = `encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10${options}`
    img('create', '-q', ...secret, '-f', 'qcow2', '-o', all, name, '1k')
    const image = readFileSync(join(work, name))
    const start = image.indexOf('LUKS\xba\xbe', 0, 'latin1')
    writeFileSync(join(crate, 'seeds', 'luks', name), image.subarray(start, start + 592))
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
