// Makes the sound images of the fuzz targets for file systems with the systems' own tools, into tests/fuzz/target/volumes.
//   node tests/fuzz/make-volumes.mjs
// What exists is kept. Images are small, and have checksums only where they cannot be without.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const crate = dirname(fileURLToPath(import.meta.url))
const images = join(crate, 'target', 'volumes')
const MIB = 1 << 20

/** Makes the images that do not exist yet. */
export function makeVolumes() {
  mkdirSync(images, { recursive: true })
  const missing = Object.entries(makers).filter(([name]) => !existsSync(imageOf(name)))
  if (missing.length === 0) return
  const work = mkdtempSync(join(tmpdir(), 'qcow2-web-volumes-'))
  try {
    const tree = makeTree(join(work, 'tree'))
    for (const [name, make] of missing) {
      const image = join(work, `${name}.img`)
      make(image, tree, work)
      writeFileSync(imageOf(name), compacted(readFileSync(image)))
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

const imageOf = (name) => join(images, `${name}.blocks`)

/** The size of an image, and then its blocks that are not zeros, each after its number: a target starts at once. */
function compacted(image) {
  const block = 4096
  const zeros = Buffer.alloc(block)
  const number = (value) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(value))
    return bytes
  }
  const parts = [number(image.length)]
  for (let at = 0; at < image.length; at += block) {
    const bytes = image.subarray(at, at + block)
    if (bytes.equals(zeros.subarray(0, bytes.length))) continue
    parts.push(number(at / block), bytes, zeros.subarray(bytes.length))
  }
  return Buffer.concat(parts)
}

/** Files of the kinds that file systems store differently: small and large, and many in one directory. */
function makeTree(root) {
  mkdirSync(join(root, 'directory', 'below'), { recursive: true })
  writeFileSync(join(root, 'small.txt'), 'small')
  writeFileSync(join(root, 'a long name with spaces and ümläuts.txt'), 'x'.repeat(600))
  writeFileSync(join(root, 'large.bin'), Buffer.alloc(70_000, 0x5a))
  for (let index = 0; index < 40; index++) writeFileSync(join(root, 'directory', `entry number ${index}`), `${index}`)
  writeFileSync(join(root, 'directory', 'below', 'deep'), 'deep')
  return root
}

const makers = {
  ext(image, tree) {
    empty(image, MIB)
    run('mke2fs', '-q', '-F', '-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,^64bit', '-d', tree, image)
  },
  fat(image, tree) {
    empty(image, MIB)
    run('mkfs.vfat', '-n', 'LABEL', image)
    run('mcopy', '-s', '-i', image, join(tree, 'directory'), join(tree, 'small.txt'), join(tree, 'large.bin'), '::')
  },
  exfat(image, tree, work) {
    empty(image, 4 * MIB)
    run('mkfs.exfat', '-L', 'label', image)
    mounted(image, tree, work, 'mount.exfat-fuse')
  },
  ntfs(image, tree) {
    empty(image, 4 * MIB)
    run('mkntfs', '-q', '-F', '-L', 'label', image)
    for (const name of ['small.txt', 'large.bin']) run('ntfscp', '-f', '-q', image, join(tree, name), name)
  },
  iso: (image, tree) => run('genisoimage', '-quiet', '-R', '-J', '-o', image, withLink(tree)),
  udf: (image, tree) => run('genisoimage', '-quiet', '-udf', '-o', image, tree),
  btrfs(image, tree) {
    empty(image, 64 * MIB)
    run('mkfs.btrfs', '-q', '--mixed', '-n', '4096', '-s', '4096', '--rootdir', tree, image)
  },
  xfs(image, tree, work) {
    empty(image, 300 * MIB)
    const list = ['/dev/null', '0 0', 'd--755 0 0']
    for (const name of ['small.txt', 'large.bin']) list.push(`${name} ---644 0 0 ${join(tree, name)}`)
    list.push('directory d--755 0 0')
    for (let index = 0; index < 40; index++) list.push(`entry${index} ---644 0 0 ${join(tree, 'small.txt')}`)
    list.push('$', 'link l--777 0 0 small.txt', '$')
    const protofile = join(work, 'protofile')
    writeFileSync(protofile, `${list.join('\n')}\n`)
    run('mkfs.xfs', '-q', '-m', 'crc=0,finobt=0,reflink=0', '-p', protofile, image)
  },
  hfsplus(image, tree) {
    const hybrid = `${image}.iso`
    run('xorriso', '-as', 'mkisofs', '-quiet', '-hfsplus', '-o', hybrid, tree)
    // It lies within the image of the disc, at a block of 2048 bytes.
    const bytes = readFileSync(hybrid)
    let start = 0
    while (bytes.toString('latin1', start + 1024, start + 1028) !== 'H+\0\x04') start += 2048
    writeFileSync(image, bytes.subarray(start))
  },
  partitions(image, tree, work) {
    empty(image, 4 * MIB)
    const inside = join(work, 'inside.img')
    makers.ext(inside, tree)
    const script = 'label: gpt\nstart=64, size=2048\nstart=2112, size=2048\n'
    run('sfdisk', { input: script }, '--quiet', image)
    const bytes = readFileSync(image)
    readFileSync(inside).copy(bytes, 64 * 512)
    writeFileSync(image, bytes)
  },
}

function withLink(tree) {
  const link = join(tree, 'link')
  if (!existsSync(link)) symlinkSync('small.txt', link)
  return tree
}

/** Copies the tree through a mount, which needs root. Without, the file system stays empty. */
function mounted(image, tree, work, program) {
  if (process.getuid() !== 0) return
  const place = join(work, 'mounted')
  mkdirSync(place, { recursive: true })
  const device = run('losetup', '-f', '--show', image).trim()
  try {
    run(program, device, place)
    try {
      run('cp', '-r', `${tree}/.`, place)
    } finally {
      run('umount', place)
    }
  } finally {
    run('losetup', '-d', device)
  }
}

function empty(image, size) {
  writeFileSync(image, '')
  truncateSync(image, size)
}

function run(program, ...args) {
  const options = typeof args[0] === 'object' ? args.shift() : {}
  // Debian's folder for administration is not on the path of all users.
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', env, ...options })
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? stderr}; run \`npm run setup files\``)
  return stdout
}

if (process.argv[1] === fileURLToPath(import.meta.url)) makeVolumes()
