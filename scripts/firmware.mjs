// Brings SeaBIOS, the BIOS that machines in the page start with, into www/emulator/bios. It comes from Debian's package.
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { inRoot, output, say } from './lib.mjs'

const names = ['bios.bin', 'vgabios-stdvga.bin']
const target = inRoot('www', 'emulator', 'bios')

/** Brings the BIOS if it is not there. Without it the page is built all the same, and boots no machines. */
export function firmware() {
  if (isIn(target)) return
  const folder = installed() ?? extracted()
  if (!folder) {
    say(
      'SeaBIOS is not here: the page will boot no machines. Put bios.bin and vgabios-stdvga.bin into www/emulator/bios.',
    )
    return
  }
  mkdirSync(target, { recursive: true })
  for (const name of names) copyFileSync(join(folder, name), join(target, name))
}

const isIn = (folder) => names.every((name) => existsSync(join(folder, name)))

/** The folder of a SeaBIOS that is installed, or extracted beside QEMU. */
function installed() {
  const folders = [
    '/usr/share/seabios',
    inRoot('target', 'tools', 'machine', 'usr', 'share', 'seabios'),
    '/usr/share/qemu',
  ]
  return folders.find(isIn)
}

/** Fetches Debian's package, and extracts it without installing it. */
function extracted() {
  const folder = inRoot('target', 'tools', 'firmware')
  const found = join(folder, 'usr', 'share', 'seabios')
  if (isIn(found)) return found
  say('fetching SeaBIOS for machines in the page into target/tools')
  const packages = join(folder, 'packages')
  mkdirSync(packages, { recursive: true })
  try {
    const fetched = output('apt-get', ['download', '-qq', '-o', 'APT::Sandbox::User=root', 'seabios'], {
      cwd: packages,
    })
    if (fetched === undefined) return undefined
    for (const file of readdirSync(packages)) output('dpkg-deb', ['-x', join(packages, file), folder])
  } finally {
    rmSync(packages, { recursive: true })
  }
  return isIn(found) ? found : undefined
}
