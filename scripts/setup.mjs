// Installs what is missing, and reports it. `npm run setup` brings everything; a task asks for the groups it needs.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromedriver, chromium, firefox as firefoxProgram, miniBrowser } from './browser.mjs'
import { firmware } from './firmware.mjs'
import { guest as buildGuest } from './guest.mjs'
import { inRoot, main, npm, output, run, Stop, say, which, windows } from './lib.mjs'
import * as wasm from './wasm.mjs'

const groups = {
  rust,
  packages,
  wasm: wasmTarget,
  runner,
  browser,
  firefox,
  webkit,
  qemu,
  server,
  machine,
  firmware,
  guest,
  filesystems,
  fuzz,
}

/** Groups that only a task of their own needs. */
const special = ['guest']

/** Makes sure that everything in the named groups is there. */
export async function setup(names = Object.keys(groups).filter((name) => !special.includes(name))) {
  node()
  for (const name of names) {
    if (!groups[name]) throw new Stop(`There is no group "${name}"; there are ${Object.keys(groups).join(', ')}.`)
    await groups[name]()
  }
}

function node() {
  const [major] = process.versions.node.split('.').map(Number)
  if (major < 20) throw new Stop(`Node ${process.versions.node} is too old: install Node 20 or later.`)
}

/** Rust itself is the user's to install: where it goes and which version is default is not ours to decide. */
function rust() {
  const wanted = /rust-version = "([\d.]+)"/.exec(readFileSync(inRoot('Cargo.toml'), 'utf8'))[1]
  const found = /^rustc (\d+\.\d+)/.exec(output('rustc', ['--version']) ?? '')?.[1]
  if (!found || !output('cargo', ['--version'])) {
    throw new Stop(`Rust is missing: install Rust ${wanted} or later with rustup (https://rustup.rs), then try again.`)
  }
  const number = (version) => version.split('.').reduce((sum, part) => sum * 1000 + Number(part), 0)
  if (number(found) < number(wanted)) {
    throw new Stop(`Rust ${found} is too old, ${wanted} is needed: run \`rustup update stable\`, then try again.`)
  }
  for (const component of ['rustfmt', 'clippy']) {
    if (which(component === 'clippy' ? 'cargo-clippy' : component)) continue
    say(`installing ${component} with rustup`)
    run('rustup', ['component', 'add', component], {
      otherwise: `${component} is missing and rustup could not add it: run \`rustup component add ${component}\`.`,
    })
  }
}

/** The npm packages of the lock file, by comparing it with npm's own record of what it installed. */
function packages() {
  const lock = JSON.parse(readFileSync(inRoot('package-lock.json'), 'utf8')).packages
  const record = inRoot('node_modules', '.package-lock.json')
  const installed = existsSync(record) ? JSON.parse(readFileSync(record, 'utf8')).packages : {}
  const missing = Object.keys(lock).filter(
    (path) => path && !lock[path].optional && !lock[path].peer && installed[path]?.version !== lock[path].version,
  )
  if (missing.length === 0) return
  say(`installing ${missing.length} npm packages into node_modules`)
  npm(['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    otherwise: 'npm could not install the packages of package-lock.json: check the network, then try again.',
  })
}

function wasmTarget() {
  rust()
  if (!wasm.toolchain()) installTarget()
  if (!wasm.bindgen()) buildBindgen()
}

/** What runs the tests of the bridge in a browser. */
function runner() {
  wasmTarget()
  if (!wasm.bindgen('wasm-bindgen-test-runner')) installRunner()
}

function installTarget() {
  const viaRustup = which('rustup') !== undefined
  if (viaRustup) {
    say(`installing the Rust target ${wasm.target} with rustup`)
    if (output('rustup', ['target', 'add', wasm.target, wasm.bareTarget]) !== undefined && wasm.toolchain()) return
    say('rustup could not fetch it; trying the Debian packages')
  }
  const byHand = `run \`rustup target add ${wasm.target} ${wasm.bareTarget}\` with a network, then try again`
  const sentence = `The Rust target ${wasm.target} is missing and could not be installed: ${byHand}.`
  if (!which('apt-get')) throw new Stop(sentence)
  const linker = wasm.wasmLinker() ? [] : ['lld']
  apt('Rust for the web, with its library', ['rustc-web', 'cargo-web', 'rust-web-src', ...linker], byHand)
  if (!wasm.toolchain()) throw new Stop(sentence)
}

/** Compiles the program that makes the JavaScript of a module: a part of wasm-bindgen-cli, in a fraction of its time. */
function buildBindgen() {
  const version = wasm.bindgenVersion()
  say(`compiling wasm-bindgen ${version} (a minute or two, once)`)
  const tools = inRoot('target', 'tools')
  const folder = join(tools, 'bindgen')
  const args = ['build', '--quiet', '--locked', '--manifest-path', 'scripts/bindgen/Cargo.toml', '--target-dir', folder]
  run('cargo', args, {
    env: { RUSTFLAGS: undefined },
    otherwise: `cargo could not build wasm-bindgen ${version}: check the network, then try again.`,
  })
  const ending = windows ? '.exe' : ''
  mkdirSync(join(tools, 'bin'), { recursive: true })
  cpSync(join(folder, 'debug', `bindgen${ending}`), join(tools, 'bin', `wasm-bindgen${ending}`))
  rmSync(folder, { recursive: true, force: true })
  if (wasm.bindgen()) return
  throw new Stop(`scripts/bindgen/Cargo.toml names another release than Cargo.lock, which has wasm-bindgen ${version}.`)
}

function installRunner() {
  const version = wasm.bindgenVersion()
  say(`installing the test runner of wasm-bindgen-cli ${version} into target/tools (some minutes, once)`)
  const name = `wasm-bindgen-cli@${version}`
  const args = ['install', '--quiet', '--root', inRoot('target', 'tools'), name, '--bin', 'wasm-bindgen-test-runner']
  const env = { CARGO_TARGET_DIR: undefined, RUSTFLAGS: undefined }
  // Its own lock file first; if a mirror does not have those releases yet, the newest releases that the mirror has.
  if (output('cargo', [...args, '--locked'], { env }) !== undefined) return
  run('cargo', args, {
    env,
    otherwise: `cargo could not install wasm-bindgen-cli ${version}: check the network, then try again.`,
  })
}

function browser() {
  const missing = []
  if (!chromium()) missing.push('chromium')
  if (!chromedriver()) missing.push('chromium-driver')
  if (missing.length === 0) return
  apt(
    'Chromium for the browser tests',
    missing,
    'install Chrome or Chromium with its chromedriver, put both on PATH (or name them in CHROMIUM and CHROMEDRIVER), then try again',
  )
}

function firefox() {
  if (firefoxProgram()) return
  apt(
    'Firefox for the browser tests',
    ['firefox-esr'],
    'install Firefox 153 or later, put it on PATH (or name it in FIREFOX), then try again',
  )
}

/** WebKitGTK, its driver, and a screen for it: it has no headless mode. */
function webkit() {
  if (process.platform !== 'linux') return
  const missing = []
  if (!which('WebKitWebDriver') || !miniBrowser()) missing.push('webkit2gtk-driver')
  if (!which('Xvfb')) missing.push('xvfb')
  if (missing.length === 0) return
  apt(
    'WebKitGTK for the browser tests',
    missing,
    'install WebKitGTK with its MiniBrowser and WebKitWebDriver, and Xvfb, then try again',
  )
}

/** qemu-img and qemu-io: the other side of the interoperability tests. */
function qemu() {
  if (which('qemu-img') && which('qemu-io')) return
  apt('qemu-img and qemu-io', ['qemu-utils'], 'install qemu-img and qemu-io (QEMU 7 or later), then try again')
}

/** The web server that the tests of `http` start. Debian's package starts another of its own, which is left alone. */
function server() {
  // Debian's folder for servers is not on the PATH of all users.
  if (which('nginx') || existsSync('/usr/sbin/nginx')) return
  apt('nginx', ['nginx-light'], 'install nginx, then try again')
}

/** The emulator that boots from our images. Where its package can't stand beside what is installed, it is extracted. */
function machine() {
  const folder = inRoot('target', 'tools', 'machine')
  const program = join(folder, 'qemu-system-x86_64')
  if (which('qemu-system-x86_64') || existsSync(program)) return
  const byHand = 'install qemu-system-x86_64 (QEMU 7 or later), then try again'
  const names = ['qemu-system-x86']
  const simulated = output('apt-get', ['install', '--simulate', '--no-install-recommends', ...names])
  if (!/^Remv /m.test(simulated ?? '')) return apt('qemu-system-x86_64', names, byHand)
  say('extracting qemu-system-x86_64 into target/tools, for its package would remove others')
  const extracted = join(folder, 'packages')
  mkdirSync(extracted, { recursive: true })
  const packages = [...simulated.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name)
  const options = {
    cwd: extracted,
    otherwise: `apt-get could not fetch ${packages.join(' ')}: check the network, or ${byHand}.`,
  }
  run('apt-get', ['download', '-qq', '-o', 'APT::Sandbox::User=root', ...packages], options)
  for (const file of readdirSync(extracted)) run('dpkg-deb', ['-x', join(extracted, file), folder])
  rmSync(extracted, { recursive: true })
  const library = (path) => `$here/${path}/x86_64-linux-gnu`
  const script = `#!/bin/sh
here=$(dirname "$0")
export LD_LIBRARY_PATH="${library('usr/lib')}:${library('lib')}"
exec "$here/usr/bin/qemu-system-x86_64" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" "$@"
`
  writeFileSync(program, script, { mode: 0o755 })
}

/** The Linux of the emulator tests, and what makes and checks file systems. */
function guest() {
  const missing = (programs) => programs.some((name) => !which(name) && !existsSync(`/usr/sbin/${name}`))
  if (missing(['mke2fs', 'e2fsck', 'debugfs'])) apt('e2fsprogs', ['e2fsprogs'], 'install e2fsprogs, then try again')
  if (missing(['mkfs.fat', 'fsck.fat'])) apt('dosfstools', ['dosfstools'], 'install dosfstools, then try again')
  buildGuest()
}

/** What makes the file systems that the tests read, and the archives that they compare with. */
function filesystems() {
  const programs = {
    mke2fs: 'e2fsprogs',
    'mkfs.vfat': 'dosfstools',
    mcopy: 'mtools',
    'mkfs.exfat': 'exfatprogs',
    'mount.exfat-fuse': 'exfat-fuse',
    mkntfs: 'ntfs-3g',
    xorriso: 'xorriso',
    genisoimage: 'genisoimage',
    'mkfs.btrfs': 'btrfs-progs',
    'mkfs.xfs': 'xfsprogs',
    mksquashfs: 'squashfs-tools',
    sfdisk: 'fdisk',
    lvm: 'lvm2',
    cryptsetup: 'cryptsetup-bin',
    unzip: 'unzip',
  }
  // Debian's folder for administration is not on the PATH of all users.
  const found = (program) =>
    which(program) || existsSync(join('/usr/sbin', program)) || existsSync(join('/sbin', program))
  const missing = Object.keys(programs).filter((program) => !found(program))
  if (missing.length === 0) return
  apt(
    'the tools of file systems',
    missing.map((program) => programs[program]),
    `install ${missing.join(', ')}, then try again`,
  )
}

/** libFuzzer is C++. */
function fuzz() {
  if (which('c++') || windows) return
  apt('a C++ compiler for the fuzz targets', ['g++'], 'install a C++ compiler, then try again')
}

/** Installs Debian packages, or stops with `byHand`, what the user can do instead. */
function apt(what, names, byHand) {
  const list = names.join(' ')
  if (!which('apt-get')) throw new Stop(`${what}: missing, and this is no Debian or Ubuntu: ${byHand}.`)
  const admin = process.getuid() === 0 ? [] : ['sudo', '-n']
  if (admin.length > 0 && output('sudo', ['-n', 'true']) === undefined) {
    throw new Stop(
      `${what}: missing, and only root can install it: run \`sudo apt-get install ${list}\`, then try again.`,
    )
  }
  say(`installing ${what} with apt-get: ${list}`)
  const aptGet = (...args) => {
    const [program, ...rest] = [...admin, 'apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=600', ...args]
    return output(program, rest, { env: { DEBIAN_FRONTEND: 'noninteractive' } }) !== undefined
  }
  // --no-remove: nothing that the user has may go for this.
  const install = () => aptGet('install', '-y', '--no-install-recommends', '--no-remove', ...names)
  if (install() || (aptGet('update') && install())) return
  throw new Stop(`apt-get could not install ${list}: check the network and \`apt-get install ${list}\`, or ${byHand}.`)
}

await main(import.meta.url, (names) => setup(names.length > 0 ? names : undefined))
