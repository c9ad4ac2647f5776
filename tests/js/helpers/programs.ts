import { execFileSync } from 'node:child_process'
import { file } from './qemu.js'

/** Runs a program in the folder of the test file, such as those that make file systems; returns what it prints. */
export function run(program: string, args: readonly string[], input = ''): string {
  // Debian's folder for administration is not on the PATH of all users.
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, MTOOLS_SKIP_CHECK: '1', LC_ALL: 'C.UTF-8' }
  return execFileSync(program, args, { cwd: file('.'), encoding: 'utf8', env, input, stdio: ['pipe', 'pipe', 'pipe'] })
}
