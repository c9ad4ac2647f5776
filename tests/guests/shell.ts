import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { V86Options } from 'v86'
import { SerialMachine } from '../js/helpers/machine.js'

/** The disk that `scripts/guest.mjs` builds: Linux, whose one partition is mounted at /mnt. */
export const guestDisk = join(import.meta.dirname, '../../target/tools/guest/linux.raw')
/** Where the partition begins. */
export const partitionStart = 1024 * 1024

export const readGuest = () => readFileSync(guestDisk)

/** A machine with Linux, and its shell on the serial line. */
export class Linux extends SerialMachine {
  constructor(options: Partial<V86Options>) {
    super({ memory_size: 64 * 1024 * 1024, ...options })
  }

  /** Waits until the shell is there. */
  async booted(): Promise<void> {
    await this.hear(/ready> /)
  }

  /** Begins a command, whose end {@link Linux.ended} waits for. */
  begin(command: string): void {
    // The quotes keep the end mark out of what is sent, should the shell echo it.
    this.send(`${command}; echo "EN""D $?"\n`)
  }

  /** Waits for the end of a command; returns what it printed, and its status. */
  async ended(): Promise<{ readonly text: string; readonly status: number }> {
    const [heard = '', status] = await this.hear(/[\s\S]*?END (\d+)\r\n/)
    const text = heard.replaceAll('\r', '').replace(/END \d+\n$/, '')
    return { text: text.replaceAll('ready> ', ''), status: Number(status) }
  }

  /** Runs a command, which must succeed; returns what it printed. */
  async run(command: string): Promise<string> {
    this.begin(command)
    const { text, status } = await this.ended()
    if (status !== 0) throw new Error(`\`${command}\` ended with ${status}: ${text}`)
    return text
  }
}
