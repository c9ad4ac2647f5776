// Builds the Linux guest of the emulator tests, once, in target/tools/guest: Debian's kernel for 32-bit PCs and a shell, on a
// disk that starts by itself. Takes some minutes with a slow network; nothing of it is part of the package.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { fingerprint, inRoot, main, output, run, Stop, say } from './lib.mjs'

const folder = inRoot('target', 'tools', 'guest')
const unpacked = join(folder, 'unpacked')

/** The disk: an MBR, GRUB behind it, and one ext4 file system from 1 MiB on. */
export const guestDisk = join(folder, 'linux.raw')
const mebibyte = 1024 * 1024
const partition = { start: mebibyte, size: 63 * mebibyte }

/** Modules that the guest needs for its disk, with all that they depend on. */
const wanted = ['ata_piix', 'sd_mod', 'sr_mod', 'crc32c_generic', 'crc64_rocksoft_generic', 'ext4', 'isofs']
/** Features of ext4 that GRUB can't read. */
const features = '^metadata_csum_seed,^orphan_file'
const commandLine = [
  'console=ttyS0 tsc=reliable mitigations=off random.trust_cpu=on cryptomgr.notests noisapnp pnpbios=off quiet',
  // A machine that goes on where it was saved, or whose tab waits for a processor, has lost time: that is no lockup.
  'nowatchdog',
].join(' ')

/** What the disk was built from. */
const stamp = join(folder, '.stamp')

/** Builds the guest if it is not there, or was built by another version of this script. */
export function guest() {
  const source = fingerprint(['scripts/guest.mjs'])
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === source) return
  say('building the Linux guest of the emulator tests in target/tools/guest (some minutes, once)')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(unpacked, { recursive: true })
  fetchPackages()
  const stage = join(folder, 'root')
  mkdirSync(join(stage, 'boot'), { recursive: true })
  const [kernel] = readdirSync(join(unpacked, 'boot')).filter((name) => name.startsWith('vmlinuz'))
  copyFileSync(join(unpacked, 'boot', kernel), join(stage, 'boot', 'vmlinuz'))
  writeFileSync(join(stage, 'boot', 'initrd'), initrd(kernel.slice('vmlinuz-'.length)))
  const image = makeDisk(stage)
  writeFileSync(guestDisk, image)
  for (const each of ['apt', 'packages', 'root', 'unpacked'])
    rmSync(join(folder, each), { recursive: true, force: true })
  // Last: it stands for a whole disk.
  writeFileSync(stamp, source)
}

/** Fetches and unpacks Debian's packages for 32-bit PCs, with package lists of their own: the system's stay as they are. */
function fetchPackages() {
  const byHand = 'this needs Debian or Ubuntu with a network'
  const native = output('dpkg', ['--print-architecture'])
  if (!native) throw new Stop(`The Linux guest can't be built: ${byHand}.`)
  const state = join(folder, 'apt')
  for (const each of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(state, each), { recursive: true })
  writeFileSync(join(state, 'status'), '')
  const config = join(state, 'apt.conf')
  writeFileSync(
    config,
    `Dir::State "${state}";
Dir::State::Lists "${state}/lists";
Dir::State::status "${state}/status";
Dir::Cache "${state}/cache";
APT::Architecture "i386";
APT::Architectures { "i386"; "${native}"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
`,
  )
  const env = { APT_CONFIG: config }
  // An index that is being updated on a mirror is no reason to stop: another one has the packages.
  output('apt-get', ['-qq', 'update'], { env })
  const depends = output('apt-cache', ['depends', 'linux-image-686'], { env }) ?? ''
  const kernel = /Depends: (linux-image-\S+)/.exec(depends)?.[1]
  if (!kernel) throw new Stop(`Debian's kernel for 32-bit PCs was not found: ${byHand}.`)
  const packages = join(folder, 'packages')
  mkdirSync(packages)
  const names = [kernel, 'busybox-static', 'grub-pc-bin', `grub-common:${native}`]
  run('apt-get', ['-qq', 'download', ...names], {
    env,
    cwd: packages,
    otherwise: `apt-get could not fetch ${names.join(' ')}: ${byHand}.`,
  })
  for (const file of readdirSync(packages)) run('dpkg-deb', ['-x', join(packages, file), unpacked])
}

/** The kernel's modules in an order in which each can be loaded. */
function modules(version) {
  const files = new Map()
  const kernel = join(unpacked, 'lib', 'modules', version, 'kernel')
  for (const entry of readdirSync(kernel, { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith('.ko')) continue
    files.set(entry.name.slice(0, -3).replaceAll('-', '_'), join(entry.parentPath ?? entry.path, entry.name))
  }
  const order = new Map()
  const need = (name) => {
    if (order.has(name)) return
    const file = files.get(name)
    // One that the kernel has built in.
    if (!file) return
    const bytes = readFileSync(file)
    const depends = /depends=([^\0]*)\0/.exec(bytes.toString('latin1'))?.[1] ?? ''
    for (const each of depends.split(',').filter(Boolean)) need(each.replaceAll('-', '_'))
    order.set(name, bytes)
  }
  for (const name of wanted) need(name)
  return order
}

/** The first file system: a shell on the serial line, with the disk at /mnt. */
function initrd(version) {
  const order = modules(version)
  const archive = new Archive()
  for (const name of ['bin', 'dev', 'proc', 'sys', 'mnt', 'modules', 'tmp']) archive.folder(name)
  archive.device('dev/console', 5, 1)
  archive.program('bin/busybox', readFileSync(join(unpacked, 'bin', 'busybox')))
  archive.link('bin/sh', 'busybox')
  for (const [name, bytes] of order) archive.program(`modules/${name}`, bytes)
  archive.program(
    'init',
    `#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in ${[...order.keys()].join(' ')}; do insmod /modules/$module; done
mount -t ext4 /dev/sda1 /mnt
stty -F /dev/ttyS0 -echo
export PS1='ready> '
cd /mnt
while :; do setsid -c sh </dev/ttyS0 >/dev/ttyS0 2>&1; done
`,
  )
  return gzipSync(archive.bytes())
}

/** A cpio archive in the format "newc", which the kernel unpacks. */
class Archive {
  #parts = []
  #files = 0

  folder(name) {
    this.#add(name, 0o040755)
  }

  device(name, major, minor) {
    this.#add(name, 0o020600, '', [major, minor])
  }

  program(name, data) {
    this.#add(name, 0o100755, data)
  }

  link(name, target) {
    this.#add(name, 0o120777, target)
  }

  bytes() {
    this.#add('TRAILER!!!', 0)
    return Buffer.concat(this.#parts)
  }

  #add(name, mode, data = '', [major, minor] = [0, 0]) {
    const content = Buffer.from(data)
    const path = Buffer.from(`${name}\0`)
    this.#files += 1
    const fields = [this.#files, mode, 0, 0, 1, 0, content.length, 0, 0, major, minor, path.length, 0]
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`
    this.#parts.push(padded(Buffer.concat([Buffer.from(head), path])), padded(content))
  }
}

const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])

/** The disk with a file system of the files in `stage`. */
function makeDisk(stage) {
  const file = join(folder, 'ext4')
  const size = `${partition.size / 1024}k`
  // The whole inode table: or the guest writes it in the background, beside what a test times.
  const complete = 'lazy_itable_init=0,lazy_journal_init=0'
  run('mke2fs', ['-q', '-t', 'ext4', '-O', features, '-E', complete, '-m', '0', '-d', stage, file, size], {
    otherwise: 'mke2fs could not make a file system: install e2fsprogs 1.43 or later.',
  })
  const image = Buffer.alloc(partition.start + partition.size)
  bootLoader().copy(image)
  // The partition table: one Linux partition.
  const entry = 446
  // GRUB's boot sector has code for floppies there.
  image.fill(0, 440, 510)
  image[entry] = 0x80
  image[entry + 4] = 0x83
  image.writeUInt32LE(partition.start / 512, entry + 8)
  image.writeUInt32LE(partition.size / 512, entry + 12)
  image.writeUInt16LE(0xaa55, 510)
  readFileSync(file).copy(image, partition.start)
  rmSync(file)
  return image
}

/** GRUB: its boot sector, and its core in the sectors behind that. */
function bootLoader() {
  const modulesFolder = join(unpacked, 'usr', 'lib', 'grub', 'i386-pc')
  const config = join(folder, 'grub.cfg')
  writeFileSync(
    config,
    `linux (hd0,msdos1)/boot/vmlinuz ${commandLine}
initrd (hd0,msdos1)/boot/initrd
boot
`,
  )
  const core = join(folder, 'core.img')
  const args = ['-O', 'i386-pc', '-d', modulesFolder, '-p', '(hd0,msdos1)/boot/grub', '-c', config, '-o', core]
  run(join(unpacked, 'usr', 'bin', 'grub-mkimage'), [...args, 'biosdisk', 'part_msdos', 'ext2', 'linux', 'boot'])
  const loader = Buffer.concat([readFileSync(join(modulesFolder, 'boot.img')), readFileSync(core)])
  for (const each of [config, core]) rmSync(each)
  if (loader.length > partition.start) throw new Stop('GRUB does not fit before the partition.')
  return loader
}

await main(import.meta.url, async () => guest())
