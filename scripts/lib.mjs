// What every script needs: running programs, stopping with a sentence, hashing inputs. Plain Node, no dependencies.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join, relative, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
export const windows = process.platform === 'win32'
/** The workspaces: the crates of the package, and those that have their own dependencies. */
export const manifests = ['Cargo.toml', 'tests/bench/Cargo.toml', 'tests/fuzz/Cargo.toml']
/** Those, and the program that only the build runs. */
export const formatted = [...manifests, 'scripts/bindgen/Cargo.toml']
export const inRoot = (...parts) => join(root, ...parts)

/** An end that the user can do something about: printed as one sentence, without a stack. */
export class Stop extends Error {}

export const say = (line) => process.stdout.write(`${line}\n`)

/** Runs `body` if the module was started as a program; a `Stop` becomes its sentence and exit code 1. */
export async function main(module, body) {
  const [, started] = process.argv
  if (!started || module !== pathToFileURL(realpathSync(started)).href) return
  try {
    await body(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    process.stderr.write(`\nerror: ${error.message}\n`)
    process.exitCode = 1
  }
}

/** The child's environment: ours, changed by `changes`, where `undefined` removes. */
function environment(changes) {
  const env = { ...process.env, ...changes }
  for (const [name, value] of Object.entries(env)) if (value === undefined) delete env[name]
  return env
}

/** Runs a program with our output; a failure stops everything with `otherwise` or the command line. */
export function run(program, args, { env = {}, cwd = root, otherwise } = {}) {
  const result = spawnSync(program, args, { cwd, env: environment(env), stdio: ['ignore', 'inherit', 'inherit'] })
  if (result.status === 0) return
  const line = [program, ...args].join(' ')
  if (result.error) throw new Stop(`\`${line}\` could not be started: ${result.error.message}.`)
  if (result.signal) throw new Stop(`\`${line}\` was ended by ${result.signal}.`)
  throw new Stop(otherwise ?? `\`${line}\` failed.`)
}

/** Runs a program in the foreground until it ends or the user stops it; resolves with its exit code. */
export function foreground(program, args, { env = {}, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: environment(env), stdio: 'inherit' })
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
    child.on('error', reject)
    child.on('exit', (code) => resolve(code ?? 0))
  })
}

/** What a program prints, trimmed, or `undefined` if it is missing or fails. */
export function output(program, args, { env = {}, cwd = root } = {}) {
  const result = spawnSync(program, args, { cwd, env: environment(env), stdio: ['ignore', 'pipe', 'ignore'] })
  return result.status === 0 ? result.stdout.toString().trim() : undefined
}

/** Runs npm, on every system: the one that runs us, or the one on PATH. */
export function npm(args, options) {
  const self = process.env.npm_execpath
  if (self?.endsWith('.js')) return run(process.execPath, [self, ...args], options)
  return windows ? run('cmd', ['/c', 'npm', ...args], options) : run('npm', args, options)
}

/** The file of a program that an npm package brings, to be run by `process.execPath`. */
export function npmTool(packageName, name = packageName) {
  const manifest = inRoot('node_modules', packageName, 'package.json')
  if (!existsSync(manifest)) throw new Stop(`The npm package ${packageName} is missing: run \`npm run setup\`.`)
  const { bin } = createRequire(manifest)(manifest)
  return join(dirname(manifest), typeof bin === 'string' ? bin : bin[name])
}

/** Runs a program of an npm package. */
export function tool(packageName, args, options = {}) {
  run(process.execPath, [npmTool(packageName, options.name), ...args], options)
}

/** The full path of a program on PATH, or `undefined`. */
export function which(name) {
  const names = windows ? [`${name}.exe`, `${name}.cmd`] : [name]
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const file of names.map((each) => join(folder, each))) {
      try {
        accessSync(file, constants.X_OK)
        if (statSync(file).isFile()) return file
      } catch {
        // not this one
      }
    }
  }
}

/** All files under `folder` (or `folder` itself if it is a file), as sorted paths relative to the project. */
export function filesUnder(folder, accept = () => true) {
  const start = inRoot(folder)
  if (!existsSync(start)) return []
  if (statSync(start).isFile()) return [folder]
  return readdirSync(start, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      relative(root, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join('/'),
    )
    .filter(accept)
    .sort()
}

/** One hash over the names and contents of files, and over whatever else decides the result. */
export function fingerprint(files, ...rest) {
  const hash = createHash('sha256')
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(inRoot(file)))
      .update('\0')
  return hash.update(JSON.stringify(rest)).digest('hex')
}

export const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} s`
