import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Uses what has the most types. */
const program = `
import { memory, Qcow2 } from 'qcow2-web'
import { volumes } from 'qcow2-web/files'
import { v86Disk } from 'qcow2-web/v86'

export async function main(): Promise<Uint8Array> {
  const image = await Qcow2.open(memory(new Uint8Array(3)))
  image.addEventListener('change', ({ offset, length }) => console.assert(offset + length > 0))
  const bytes = await image.read(0, 8)
  await image.close()
  return bytes
}

declare const console: { assert(value: boolean): void }
export { v86Disk, volumes }
`

/** Writes programs that use the package into the folder where it is installed. */
export function writePrograms(folder: string): void {
  for (const name of ['module.mts', 'script.cts', 'old.ts']) writeFileSync(join(folder, name), program)
}

/** What the TypeScript in a folder says to the programs in another, with some options. */
export function complaints(compiler: string, folder: string, files: readonly string[], options: object): string {
  const strict = { noEmit: true, strict: true, target: 'es2022', types: [] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...strict, ...options }, files }))
  try {
    return execFileSync(process.execPath, [join(compiler, 'bin/tsc'), '-p', '.'], { cwd: folder, encoding: 'utf8' })
  } catch (error) {
    return (error as { stdout: string }).stdout
  }
}

/** The environments that the declarations have to work in. */
export const environments: [string, string[]][] = [
  ['without the types of a browser', ['es2022']],
  ['in a page', ['es2022', 'dom']],
  ['in a worker', ['es2022', 'webworker']],
]
