import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { file, qemuImg } from './qemu.js'

/** The passphrase of every image, unless a test says otherwise. */
export const passphrase = 'open sesame'

/** As few iterations as QEMU lets one have. */
export const luks = 'encrypt.format=luks,encrypt.iter-time=10'

/** QEMU's arguments for passphrases: `key`, and others by their ids. */
function secrets(others: Record<string, string> = {}): string[] {
  const all = { key: passphrase, ...others }
  return Object.entries(all).flatMap(([id, data]) => ['--object', `secret,id=${id},data=${data}`])
}

/** QEMU's description of an encrypted image. */
const described = (name: string) => `driver=qcow2,file.filename=${name},encrypt.key-secret=key`

/** The images that were made before, by how: QEMU measures for seconds how many iterations take 10 ms. */
const made = new Map<string, Buffer>()

/** Makes an encrypted image of 1 MiB; `options` as after `-o`. */
export function createEncrypted(name: string, options: string, key = passphrase): string {
  const how = `${options},${key}`
  const known = made.get(how)
  if (known) writeFileSync(file(name), known)
  else {
    const all = `${options},encrypt.key-secret=key`
    qemuImg('create', '-q', '-u', '-f', 'qcow2', ...secrets({ key }), '-o', all, name, '1M')
    made.set(how, readFileSync(file(name)))
  }
  return file(name)
}

/** More to say of an image: more options, and the passphrases that they name, by their ids. */
export interface More {
  readonly options?: string
  readonly keys?: Record<string, string>
}

/** Runs `qemu-io` on an encrypted image with a command each. */
export function ioEncrypted(name: string, commands: string[], { options = '', keys = {} }: More = {}): void {
  const each = commands.flatMap((command) => ['-c', command])
  const image = ['--image-opts', described(file(name)) + options]
  const said = execFileSync('qemu-io', [...secrets(keys), ...each, ...image], { encoding: 'utf8' })
  if (/failed|error/i.test(said)) throw new Error(said)
}

/** The contents of an encrypted image's disk as QEMU sees them. */
export function decrypted(name: string, { options = '', keys = {} }: More = {}): Uint8Array {
  const image = ['--image-opts', described(file(name)) + options]
  qemuImg('convert', '-O', 'raw', ...secrets(keys), ...image, `${name}.disk`)
  return readFileSync(file(`${name}.disk`))
}

/** True if QEMU opens the image by a passphrase. */
export function opens(name: string, key: string): boolean {
  const args = ['check', '-q', ...secrets({ key }), '--image-opts', described(file(name))]
  const { status, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' })
  if (status === 0) return true
  if (stderr.includes('Invalid password')) return false
  throw new Error(stderr)
}

/** Changes an encrypted image's key slots by QEMU; `options` as after `-o`. */
export function amendEncrypted(name: string, options: string, keys: Record<string, string> = {}): void {
  qemuImg('amend', ...secrets(keys), '--image-opts', '-o', options, described(file(name)))
}

/** Takes a snapshot of an encrypted image by QEMU. */
export function snapshotEncrypted(name: string, ...args: string[]): void {
  qemuImg('snapshot', ...secrets(), ...args, '--image-opts', described(file(name)))
}

/** Makes sure that QEMU finds nothing in an encrypted image. */
export function checkEncrypted(name: string, key = passphrase): void {
  qemuImg('check', '-q', ...secrets({ key }), '--image-opts', described(file(name)))
}
