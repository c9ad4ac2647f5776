// File systems in Node: streaming a large file, against reading the same bytes from the disk, and listing a directory of
// 10,000 entries over HTTP with 20 ms of latency. By `npm run bench -- files`; `stream`, `list` and names of file systems
// choose among these.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { http, nodeFile, raw } from 'qcow2-web'
import { volumes } from 'qcow2-web/files'

const MIB = 1 << 20
const large = 192 * MIB
const entries = 10_000
const latency = 20
const rounds = 5
const work = mkdtempSync(join(tmpdir(), 'qcow2-web-bench-'))

function run(program, ...args) {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, MTOOLS_SKIP_CHECK: '1' }
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', env, maxBuffer: 64 * MIB })
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? stderr}`)
  return stdout
}

function empty(name, size) {
  const path = join(work, name)
  writeFileSync(path, '')
  truncateSync(path, size)
  return path
}

/** Copies a folder into a file system that only a mount fills, which needs root. */
function mounted(image, tree, program, ...args) {
  const place = join(work, 'mounted')
  mkdirSync(place, { recursive: true })
  const device = run('losetup', '-f', '--show', image).trim()
  try {
    run(program, ...args, device, place)
    run('cp', '-r', `${tree}/.`, place)
    run('umount', place)
  } finally {
    run('losetup', '-d', device)
  }
  return image
}

/** The image of a file system with the files of `tree`. */
const makers = {
  ext4(tree, size) {
    const image = empty('ext4.img', size)
    run('mke2fs', '-q', '-F', '-t', 'ext4', '-N', '12000', '-d', tree, image)
    return image
  },
  fat32(tree, size) {
    const image = empty('fat32.img', size)
    run('mkfs.vfat', '-F', '32', image)
    run('mcopy', '-s', '-Q', '-i', image, join(tree, 'dir'), '::')
    return image
  },
  iso9660(tree) {
    const image = join(work, 'iso.img')
    run('genisoimage', '-quiet', '-R', '-J', '-o', image, tree)
    return image
  },
  udf(tree) {
    const image = join(work, 'udf.img')
    run('genisoimage', '-quiet', '-udf', '-o', image, tree)
    return image
  },
  btrfs(tree, size) {
    const image = empty('btrfs.img', size)
    run('mkfs.btrfs', '-q', '--rootdir', tree, image)
    return image
  },
  hfsplus(tree) {
    const image = join(work, 'hfsplus.img')
    run('xorriso', '-as', 'mkisofs', '-quiet', '-hfsplus', '-o', `${image}.iso`, tree)
    const bytes = readFileSync(`${image}.iso`)
    let start = 0
    while (bytes.toString('latin1', start + 1024, start + 1028) !== 'H+\0\x04') start += 2048
    writeFileSync(image, bytes.subarray(start))
    return image
  },
  ...(process.getuid() === 0 && {
    xfs(tree, size) {
      const image = empty('xfs.img', Math.max(size, 320 * MIB))
      run('mkfs.xfs', '-q', image)
      return mounted(image, tree, 'mount')
    },
    ntfs(tree, size) {
      const image = empty('ntfs.img', size)
      run('mkntfs', '-q', '-F', image)
      return mounted(image, tree, 'ntfs-3g')
    },
    exfat(tree, size) {
      const image = empty('exfat.img', size)
      run('mkfs.exfat', image)
      return mounted(image, tree, 'mount.exfat-fuse')
    },
  }),
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]

async function timed(body) {
  const start = performance.now()
  await body()
  return performance.now() - start
}

/** Reads a stream to its end. */
async function drain(stream) {
  let length = 0
  for await (const chunk of stream) length += chunk.length
  if (length !== large) throw new Error(`${length} bytes instead of ${large}`)
}

/** Streams the file and reads as many bytes of the disk, in turns; prints the share. */
async function stream(name, image) {
  const disk = await raw(nodeFile(image))
  const [volume] = await volumes(disk)
  const times = { file: [], disk: [] }
  for (let round = 0; round <= rounds; round++) {
    const file = await timed(async () => drain(await volume.readable('/dir/large.bin')))
    const bytes = await timed(async () => drain(disk.readable({ length: large })))
    // The first round loads everything.
    if (round > 0) {
      times.file.push(file)
      times.disk.push(bytes)
    }
  }
  const speed = (ms) => `${Math.round(large / MIB / (ms / 1000))} MiB/s`
  const [file, bytes] = [median(times.file), median(times.disk)]
  console.log(`${name.padEnd(8)} file ${speed(file)}, disk ${speed(bytes)}: ${(bytes / file).toFixed(2)}`)
  volume.close()
  await disk.close()
}

/** A server with ranges, which takes its time. */
async function serve(path) {
  const counted = { requests: 0 }
  const descriptor = openSync(path, 'r')
  const { size } = statSync(path)
  const server = createServer((request, response) => {
    counted.requests += 1
    const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '')
    const [first, last] = range
      ? [Number(range[1]), range[2] ? Math.min(Number(range[2]), size - 1) : size - 1]
      : [0, size - 1]
    setTimeout(() => {
      const length = last - first + 1
      const headers = { 'Accept-Ranges': 'bytes', 'Content-Length': length, ETag: '"1"' }
      if (range) headers['Content-Range'] = `bytes ${first}-${last}/${size}`
      response.writeHead(range ? 206 : 200, headers)
      if (request.method === 'HEAD') return response.end()
      const bytes = Buffer.alloc(length)
      readSync(descriptor, bytes, 0, length, first)
      response.end(bytes)
    }, latency)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { counted, url: `http://127.0.0.1:${server.address().port}/disk.img`, stop: () => server.close() }
}

/** Lists the directory over HTTP; prints the time and the requests. */
async function list(name, image) {
  const server = await serve(image)
  const disk = await raw(http(server.url))
  const [volume] = await volumes(disk)
  const before = server.counted.requests
  let count = 0
  const time = await timed(async () => {
    for await (const _ of volume.list('/dir')) count += 1
  })
  const { reruns } = await volume.statistics()
  const requests = server.counted.requests - before
  console.log(
    `${name.padEnd(8)} ${count} entries in ${(time / 1000).toFixed(2)} s, ${requests} requests, ${reruns} reruns`,
  )
  volume.close()
  await disk.close()
  server.stop()
}

const chosen = process.argv.slice(2)
const isChosen = (name, all) => chosen.includes(name) || !all.some((each) => chosen.includes(each))
const names = Object.keys(makers).filter((name, _, all) => isChosen(name, all))

async function streams() {
  console.log(`streaming ${large / MIB} MiB`)
  const one = join(work, 'one')
  mkdirSync(join(one, 'dir'), { recursive: true })
  const content = Buffer.alloc(large)
  for (let at = 0; at < large; at += 4) content.writeUInt32LE((at * 2_654_435_761) >>> 0, at)
  writeFileSync(join(one, 'dir', 'large.bin'), content)
  for (const name of names) {
    const image = makers[name](one, 320 * MIB)
    await stream(name, image)
    rmSync(image)
  }
  rmSync(one, { recursive: true })
}

async function lists() {
  console.log(`listing ${entries} entries over HTTP with ${latency} ms of latency`)
  const many = join(work, 'many')
  mkdirSync(join(many, 'dir'), { recursive: true })
  for (let index = 0; index < entries; index++)
    writeFileSync(join(many, 'dir', `entry with a long name ${index}`), `${index}`)
  for (const name of names) {
    const image = makers[name](many, 320 * MIB)
    await list(name, image)
    rmSync(image)
  }
}

try {
  if (isChosen('stream', ['list'])) await streams()
  if (isChosen('list', ['stream'])) await lists()
} finally {
  if (existsSync(work)) rmSync(work, { recursive: true })
}
