import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { http, raw } from 'qcow2-web'
import { volumes } from 'qcow2-web/files'
import { describe, expect, test } from 'vitest'
import { run } from './helpers/programs'
import { file } from './helpers/qemu'
import { FileServer } from './helpers/server'

/** A folder `dir` with so many small files. */
function treeOf(name: string, entries: number): string {
  const root = file(`${name}.tree`)
  mkdirSync(join(root, 'dir'), { recursive: true })
  for (let index = 0; index < entries; index++)
    writeFileSync(join(root, 'dir', `entry with a long name ${index}`), `${index}`)
  return root
}

function made(name: string, program: string, ...options: string[]): string {
  const image = file(`${name}.img`)
  run('truncate', ['-s', '320M', image])
  run(program, [...options, image])
  return image
}

/** Copies the tree into an image that is mounted. */
function mounted(image: string, tree: string, program: string): string {
  const place = `${image}.mounted`
  mkdirSync(place)
  const device = run('losetup', ['-f', '--show', image]).trim()
  try {
    run(program, [device, place])
    try {
      run('cp', ['-r', join(tree, 'dir'), place])
      run('sync', ['-f', place])
    } finally {
      run('umount', [place])
    }
  } finally {
    run('losetup', ['-d', device])
  }
  return image
}

/** What makes an image with the files of a tree, and how many files it has: mtools and exfat-fuse take longer with each. */
const makers: Record<string, [entries: number, make: (tree: string) => string]> = {
  ext4: [4000, (tree) => made('ext4', 'mke2fs', '-q', '-F', '-t', 'ext4', '-N', '5000', '-d', tree)],
  fat32: [
    500,
    (tree) => {
      const image = made('fat32', 'mkfs.vfat', '-F', '32')
      run('mcopy', ['-s', '-Q', '-i', image, join(tree, 'dir'), '::'])
      return image
    },
  ],
  iso9660: [4000, (tree) => disc('iso', tree, '-R', '-J')],
  udf: [4000, (tree) => disc('udf', tree, '-udf')],
  btrfs: [4000, (tree) => made('btrfs', 'mkfs.btrfs', '-q', '--rootdir', tree)],
  hfsplus: [
    4000,
    (tree) => {
      const hybrid = file('hybrid.iso')
      run('xorriso', ['-as', 'mkisofs', '-quiet', '-hfsplus', '-o', hybrid, tree])
      const bytes = readFileSync(hybrid)
      let start = 0
      while (bytes.toString('latin1', start + 1024, start + 1028) !== 'H+\0\x04') start += 2048
      writeFileSync(file('hfsplus.img'), bytes.subarray(start))
      return file('hfsplus.img')
    },
  ],
  // Only a mount fills these, which needs root.
  ...(process.getuid?.() === 0 && {
    xfs: [4000, (tree) => mounted(made('xfs', 'mkfs.xfs', '-q'), tree, 'mount')],
    ntfs: [4000, (tree) => mounted(made('ntfs', 'mkntfs', '-q', '-F'), tree, 'ntfs-3g')],
    exfat: [1000, (tree) => mounted(made('exfat', 'mkfs.exfat'), tree, 'mount.exfat-fuse')],
  }),
}

function disc(name: string, tree: string, ...options: string[]): string {
  run('genisoimage', ['-quiet', ...options, '-o', file(`${name}.img`), tree])
  return file(`${name}.img`)
}

describe('a listing over HTTP takes at most one request per 100 entries', () => {
  test.each(Object.entries(makers))(
    'on %s',
    async (name, [entries, make]) => {
      const tree = treeOf(name, entries)
      const image = make(tree)
      const server = await new FileServer(readFileSync(image)).start()
      const disk = await raw(http(server.url))
      try {
        const [volume] = await volumes(disk)
        const before = server.requests.length
        let found = 0
        for await (const _ of volume?.list('/dir') ?? []) found += 1
        expect(found).toBe(entries)
        expect(server.requests.length - before).toBeLessThanOrEqual(entries / 100)
        // Each one runs the parser again.
        expect((await volume?.statistics())?.reruns).toBeLessThanOrEqual(60)
        volume?.close()
      } finally {
        await disk.close()
        server.stop()
        rmSync(image)
        rmSync(tree, { recursive: true })
      }
    },
    120_000,
  )
})
