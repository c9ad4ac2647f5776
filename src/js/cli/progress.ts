import type { Progress } from '../index.js'
import type { Host } from './host.js'

/** Shows the progress of a command: with `-p` while it runs, otherwise when the user asks for it. */
export class ProgressLine {
  #shown = -1
  #percent = 0
  readonly #stop: () => void

  constructor(
    private readonly host: Host,
    private readonly visible: boolean,
    /** Shows nothing until {@link show} is called. */
    isDeferred = false,
  ) {
    const report = () => host.err(`    (${this.#percent.toFixed(2)}/100%)\n`)
    this.#stop = (!visible && host.onProgressRequest?.(report)) || (() => {})
    if (!isDeferred) this.show()
  }

  /** Shows that nothing is done yet. */
  show(): void {
    this.#print(0)
  }

  /** Called with what is done. */
  readonly update = ({ done, total }: Progress): void => this.to(total === 0 ? 0 : (done / total) * 100)

  /** Shows this percentage. */
  to(percent: number): void {
    this.#percent = Math.min(100, percent)
    if (this.#percent === 100 || this.#percent - this.#shown >= 1) this.#print(this.#percent)
  }

  /** Ends the line. */
  end(): void {
    if (this.visible) this.host.out('\n')
    this.#stop()
  }

  #print(percent: number): void {
    this.#shown = percent
    if (this.visible) this.host.out(`    (${percent.toFixed(2)}/100%)\r`)
  }
}
