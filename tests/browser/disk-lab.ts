/** Disks with real file systems, made by the programs that make them elsewhere. */

import { copyFileSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { run } from '../js/helpers/programs.js'
import { file, qemuImg } from '../js/helpers/qemu.js'

export const MIB = 2 ** 20

/** A folder with what `fill` puts into it. */
export function folder(name: string, fill: (root: string) => void): string {
  const root = file(`${name}.tree`)
  mkdirSync(root)
  fill(root)
  return root
}

/** A raw file with an ext4 file system that has the content of a folder. */
export function ext4(name: string, megabytes: number, root: string, ...options: string[]): string {
  run('truncate', ['-s', `${megabytes}M`, name])
  run('mke2fs', ['-q', '-F', '-t', 'ext4', ...options, '-d', root, name])
  return file(name)
}

/** A raw file with a FAT file system that has the content of a folder. */
export function fat(name: string, megabytes: number, root: string, label: string): string {
  run('truncate', ['-s', `${megabytes}M`, name])
  run('mkfs.vfat', ['-n', label, name])
  run('mcopy', ['-s', '-i', name, ...run('find', [root, '-mindepth', '1', '-maxdepth', '1']).trim().split('\n'), '::'])
  return file(name)
}

/** A raw file with a container that only its passphrase opens. */
export function luks(name: string, megabytes: number): string {
  run('truncate', ['-s', `${megabytes}M`, name])
  const quick = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000']
  run('cryptsetup', ['luksFormat', '--batch-mode', '--type', 'luks2', ...quick, '--key-file=-', name], 'secret')
  return file(name)
}

/** A raw file with a container that holds a file system. It is larger by the container's header. */
export function encrypted(name: string, path: string, passphrase: string): string {
  copyFileSync(path, file(name))
  truncateSync(file(name), statSync(path).size + 32 * MIB)
  writeFileSync(file(`${name}.key`), passphrase)
  const how = ['reencrypt', '--encrypt', '--type', 'luks2', '--reduce-device-size', '32M', '--force-offline-reencrypt']
  const quick = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000']
  run('cryptsetup', [
    ...how,
    '--batch-mode',
    '--disable-locks',
    '--key-file',
    file(`${name}.key`),
    ...quick,
    file(name),
  ])
  return file(name)
}

/** A raw disk with an MBR table, whose partitions have the content of files, one behind the other from 1 MiB on. */
export function partitioned(name: string, parts: string[]): string {
  const contents = parts.map((path) => readFileSync(path))
  const end = contents.reduce((sum, part) => sum + part.length, MIB)
  const disk = Buffer.alloc(end + MIB)
  writeFileSync(file(name), disk)
  const lines = contents.map((part) => `size=${part.length / 512}, type=83`)
  run('sfdisk', ['-q', name], `label: dos\nunit: sectors\nfirst-lba: 2048\n${lines.join('\n')}\n`)
  readFileSync(file(name)).copy(disk, 0, 0, MIB)
  let at = MIB
  for (const part of contents) at += part.copy(disk, at)
  writeFileSync(file(name), disk)
  return file(name)
}

/** A qcow2 image of a raw disk. */
export function qcow2(name: string, raw: string, ...options: string[]): string {
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...options, raw, name)
  return file(name)
}
