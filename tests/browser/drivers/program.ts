import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'

/** A browser as a process, in a group of its own, so that all of its processes can be ended at once. */
export class Program {
  /** Where it can be driven, as it says itself. */
  readonly address: string
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>

  /** Starts a program, which says where it can be driven in a line of its standard error that begins with some words. */
  static async start(path: string, args: readonly string[], words: string): Promise<Program> {
    const child = spawn(path, args, { detached: true, stdio: ['ignore', 'ignore', 'pipe'] })
    const ended = once(child, 'close')
    return new Program(child, ended, await saidAfter(words, child))
  }

  private constructor(child: ChildProcess, ended: Promise<unknown>, address: string) {
    this.#child = child
    this.#ended = ended
    this.address = address
  }

  /** How long all of its processes have run on a processor, in seconds, on Linux. */
  processorTime(): number {
    let ticks = 0
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue
      let fields: string[]
      try {
        const text = readFileSync(`/proc/${name}/stat`, 'utf8')
        // Before that is the program's name, which may have spaces in it.
        fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      } catch {
        // It has ended.
        continue
      }
      const [group, user, system] = [fields[2], fields[11], fields[12]].map(Number)
      if (group === this.#child.pid) ticks += (user ?? 0) + (system ?? 0)
    }
    return ticks / 100
  }

  /** Over when all of its processes are, for each has its standard error: from then on its files are nobody's. */
  async ended(): Promise<void> {
    await this.#ended
  }

  /** Ends all of its processes. */
  async kill(): Promise<void> {
    if (this.#child.pid) process.kill(-this.#child.pid, 'SIGKILL')
    await this.#ended
  }
}

function saidAfter(words: string, { stderr }: ChildProcess): Promise<string> {
  const address = new RegExp(`^${words} (\\S+)\\s`, 'm')
  return new Promise((resolve, reject) => {
    let text = ''
    stderr?.on('data', (chunk) => {
      text += chunk
      const said = address.exec(text)?.[1]
      if (said) resolve(said)
    })
    stderr?.once('end', () => reject(new Error(`The browser did not start: ${text}`)))
  })
}
