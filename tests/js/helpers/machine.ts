import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { firmware } from '../../browser/firmware.js'

const build = join(import.meta.dirname, '../../../node_modules/v86/build')
const { V86 } = (await import(join(build, 'libv86.mjs'))) as typeof import('v86')

function buffer(path: string): { buffer: ArrayBuffer } {
  const bytes = readFileSync(path)
  return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer }
}

/** A machine in v86, which a test can talk to by the serial line. */
export class SerialMachine {
  readonly emulator: import('v86').V86
  #heard = ''
  #wake = () => {}

  constructor(options: Partial<import('v86').V86Options>) {
    this.emulator = new V86({
      wasm_path: join(build, 'v86.wasm'),
      memory_size: 16 * 1024 * 1024,
      vga_memory_size: 2 * 1024 * 1024,
      bios: buffer(firmware('bios.bin')),
      vga_bios: buffer(firmware('vgabios-stdvga.bin')),
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
      net_device: { type: 'none' } as never,
      autostart: true,
      ...options,
    })
    this.emulator.add_listener('serial0-output-byte', (byte) => {
      this.#heard += String.fromCharCode(byte)
      this.#wake()
    })
  }

  /** Ends the machine with the test that is running. */
  forTest(): this {
    onTestFinished(() => this.emulator.destroy())
    return this
  }

  send(text: string): void {
    this.emulator.serial0_send(text)
  }

  /** Waits for a text that matches; returns the match. What was heard until then is not heard again. */
  async hear(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#heard)
      if (match) {
        this.#heard = this.#heard.slice(match.index + match[0].length)
        return match
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** The count that the sample disk prints next. */
  async count(): Promise<number> {
    return Number((await this.hear(/Counted so far: (\d+)\r\n/))[1])
  }
}
