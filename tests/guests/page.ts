import { join } from 'node:path'
import type * as Adapter from '../../src/js/hosts/v86.js'
import type * as Package from '../../src/js/index.js'
import { firmware } from '../browser/firmware.js'
import type { StorageLab, Work } from '../browser/storage-lab.js'

const v86 = join(import.meta.dirname, '../../node_modules/v86/build')

/** Serves v86 and its firmware beside the package. */
export function serveV86(lab: StorageLab): void {
  for (const [name, path] of [
    ['bios.bin', firmware('bios.bin')],
    ['vgabios.bin', firmware('vgabios-stdvga.bin')],
    ['libv86.js', join(v86, 'libv86.js')],
    ['v86.wasm', join(v86, 'v86.wasm')],
  ] as const)
    lab.beside.set(`/v86/${name}`, path)
}

/** A Linux machine on a page, with its shell on the serial line. */
export interface PageLinux {
  readonly hda: Adapter.V86Disk
  readonly emulator: import('v86').V86
  /** Waits for a text; returns what was heard with it, which is not heard again. */
  hear(text: string): Promise<string>
  /** Runs a command; returns what it printed, and its status as the last line. */
  run(command: string): Promise<string>
}

/** What {@link prepareLinux} puts on a page. */
export interface PageGlobals {
  /** Makes a machine with the disk of an image, or of v86's own kind. */
  linux(disk: Package.Qcow2 | ArrayBuffer, options?: object, diskOptions?: Adapter.V86DiskOptions): Promise<PageLinux>
}

/** Puts {@link PageGlobals} on a page. */
export const prepareLinux: Work<[], void> = async () => {
  await new Promise<unknown>((resolve, reject) => {
    const script = Object.assign(document.createElement('script'), { src: '/v86/libv86.js' })
    script.addEventListener('load', resolve)
    script.addEventListener('error', reject)
    document.head.append(script)
  })
  const { V86, load } = globalThis as unknown as typeof import('v86') & { load(path: string): Promise<typeof Adapter> }
  const { v86Disk } = await load('/hosts/v86.js')
  const linux: PageGlobals['linux'] = async (disk, options = {}, diskOptions = {}) => {
    const raw = disk instanceof ArrayBuffer
    const hda = raw ? ({ buffer: disk } as unknown as Adapter.V86Disk) : v86Disk(disk, diskOptions)
    const emulator = new V86({
      wasm_path: '/v86/v86.wasm',
      bios: { url: '/v86/bios.bin' },
      vga_bios: { url: '/v86/vgabios.bin' },
      memory_size: 64 * 1024 * 1024,
      disable_speaker: true,
      disable_keyboard: true,
      disable_mouse: true,
      net_device: { type: 'none' } as never,
      autostart: true,
      hda,
      ...options,
    })
    let heard = ''
    let wake = () => {}
    emulator.add_listener('serial0-output-byte', (byte) => {
      heard += String.fromCharCode(byte)
      wake()
    })
    const hear = async (text: string) => {
      for (;;) {
        const end = heard.indexOf(text)
        if (end >= 0) {
          const found = heard.slice(0, end + text.length)
          heard = heard.slice(end + text.length)
          return found
        }
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
    const run = async (command: string) => {
      // The quotes keep the mark out of what is sent, should the shell echo it.
      emulator.serial0_send(`${command}; echo "EN""D $?"\n`)
      const text = await hear('END ')
      const status = await hear('\r\n')
      return `${text.slice(0, -4)}${status}`.replaceAll('\r', '').replaceAll('ready> ', '')
    }
    if (!raw) await hda.attach(emulator)
    return { hda, emulator, hear, run }
  }
  Object.assign(globalThis, { linux })
}
