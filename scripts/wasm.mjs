// The toolchain for wasm32-unknown-unknown: which one this machine has, and how cargo is called with it.
// As a program: `node scripts/wasm.mjs check --package qcow2-web-bridge` runs `cargo check …` for the target.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { inRoot, main, output, run, Stop, which, windows } from './lib.mjs'

export const target = 'wasm32-unknown-unknown'
/** A target that has no `std` at all; checked where rustup can supply it. */
export const bareTarget = 'thumbv7em-none-eabihf'

/** The release that the lock file names: wasm-bindgen's program and crate must be the same. */
export function bindgenVersion() {
  const lock = readFileSync(inRoot('Cargo.lock'), 'utf8')
  const version = /name = "wasm-bindgen"\r?\nversion = "([^"]+)"/.exec(lock)?.[1]
  if (!version) throw new Stop('Cargo.lock has no wasm-bindgen: restore the file from version control.')
  return version
}

/** `wasm-bindgen` or `wasm-bindgen-test-runner` in the right version: ours, or the one on PATH. */
export function bindgen(name = 'wasm-bindgen') {
  const file = windows ? `${name}.exe` : name
  const candidates = [inRoot('target', 'tools', 'bin', file), which(name)]
  return candidates.find(
    (each) => each && existsSync(each) && output(each, ['--version'])?.split(' ')[1] === bindgenVersion(),
  )
}

/** True if the compiler on PATH has the standard library of `triple`. */
export function hasTarget(triple) {
  const folder = output('rustc', ['--print', 'target-libdir', '--target', triple])
  return folder !== undefined && existsSync(folder)
}

const debian = {
  cargo: '/usr/bin/cargo',
  rustc: '/usr/bin/rustc',
  library: '/usr/lib/rustlib/src/rust/library/Cargo.toml',
}

/** Debian's compiler with the source of its library, from which cargo builds the library for the target. */
export const hasDebian = () => Object.values(debian).every(existsSync)

/** A linker for wasm: the one that comes with Rust, or LLVM's. */
export function wasmLinker() {
  const sysroot = output('rustc', ['--print', 'sysroot'])
  const host = /host: (\S+)/.exec(output('rustc', ['-vV']) ?? '')?.[1]
  const bundled = sysroot && host && join(sysroot, 'lib', 'rustlib', host, 'bin', 'rust-lld')
  return bundled && existsSync(bundled) ? bundled : which('wasm-ld')
}

/** How cargo is called for the target, or `undefined` if this machine can't yet. */
export function toolchain() {
  if (hasTarget(target)) {
    const folder = inRoot('target')
    return { kind: 'rustup', cargo: 'cargo', folder, env: { CARGO_TARGET_DIR: folder }, std: () => [] }
  }
  const linker = wasmLinker()
  if (!hasDebian() || !linker) return undefined
  // Another compiler than the native one: a folder of its own, so that neither throws away what the other built.
  const folder = inRoot('target', 'web-toolchain')
  return {
    kind: 'debian',
    cargo: debian.cargo,
    folder,
    env: {
      RUSTC: debian.rustc,
      RUSTC_BOOTSTRAP: '1',
      CARGO_TARGET_DIR: folder,
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker,
    },
    std: (crates) => [`-Zbuild-std=${crates}`],
  }
}

/** Runs `cargo <command> --target wasm32-unknown-unknown …` with the machine's toolchain. */
export function wasmCargo([command, ...args], { env = {}, std = 'core,alloc,std,panic_abort', otherwise } = {}) {
  const { cargo, env: own, std: build } = required()
  // Before the flags, which name the folders of the sources.
  run(cargo, ['fetch', '--locked', '--quiet'], { env: own })
  run(cargo, [command, '--locked', ...build(std), '--target', target, ...args], {
    env: { CARGO_ENCODED_RUSTFLAGS: compilerFlags().join('\x1f'), ...own, ...env },
    otherwise,
  })
}

/** SIMD, which every browser has; and no path of the builder's machine in the messages of panics. */
function compilerFlags() {
  const sources = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'registry', 'src')
  const folders = existsSync(sources) ? readdirSync(sources).map((name) => join(sources, name)) : []
  return ['-Ctarget-feature=+simd128', ...folders.map((folder) => `--remap-path-prefix=${folder}=`)]
}

/** The toolchain, or the sentence with how to get it. */
export function required() {
  const found = toolchain()
  if (!found) throw new Stop('Rust has no wasm32-unknown-unknown target here: run `npm run setup`.')
  return found
}

await main(import.meta.url, (args) => {
  if (args.length === 0)
    throw new Stop('Give a cargo command, such as `node scripts/wasm.mjs check --package qcow2-web-bridge`.')
  wasmCargo(args)
})
