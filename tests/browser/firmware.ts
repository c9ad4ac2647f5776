import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The program of the machine tests, which has its firmware beside it. */
const own = join(import.meta.dirname, '../../target/tools/machine/qemu-system-x86_64')

/** Where a file of QEMU's firmware is: what a PC starts from. */
export function firmware(name: string): string {
  const program = existsSync(own) ? own : 'qemu-system-x86_64'
  const folders = execFileSync(program, ['-L', 'help'], { encoding: 'utf8' }).trim().split('\n')
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
  if (!found) throw new Error(`${name} is in none of ${folders.join(', ')}: install SeaBIOS.`)
  return found
}
