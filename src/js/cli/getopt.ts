import { program, UsageError } from './failure.js'

/** An option of a command: its short and long spelling, and whether it takes a value. */
export interface OptionSpec {
  readonly short?: string
  readonly long?: string
  /** Other long spellings, which cannot be abbreviated. */
  readonly aliases?: readonly string[]
  readonly takesValue?: boolean
}

/** The options of a command, by the names that the command uses for them. */
export type OptionTable = Readonly<Record<string, OptionSpec>>

/** The arguments of a command: each option with its values, in their order, and the operands. */
export interface Parsed {
  /** Every option in the order of the command line; the value is `''` for an option that takes none. */
  readonly options: readonly (readonly [name: string, value: string])[]
  readonly operands: readonly string[]
}

/**
 * Parses arguments as GNU `getopt_long` does: options and operands may be mixed, short options may be joined, long
 * options may be abbreviated, and `--` ends the options.
 */
export function getopt(command: string, all: readonly string[], table: OptionTable, trailing?: RegExp): Parsed {
  const args = trailing?.test(all.at(-1) ?? '') ? all.slice(0, -1) : all
  const options: [string, string][] = []
  const operands: string[] = []
  const usage = (reason: string) => new UsageError(`${[program, command].join(' ').trim()}: ${reason}`, false)
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? ''
    if (arg === '--') {
      operands.push(...args.slice(at + 1))
      break
    }
    if (arg.startsWith('--')) {
      const equals = arg.indexOf('=')
      const spelled = equals < 0 ? arg.slice(2) : arg.slice(2, equals)
      const [name, spec] = longOption(spelled, table, usage)
      if (!spec.takesValue) {
        if (equals >= 0) throw usage(`option '--${spec.long}' doesn't allow an argument`)
        options.push([name, ''])
      } else if (equals >= 0) options.push([name, arg.slice(equals + 1)])
      else {
        at += 1
        const value = args[at]
        if (value === undefined) throw usage(`option '--${spec.long}' requires an argument`)
        options.push([name, value])
      }
    } else if (arg.startsWith('-') && arg !== '-') {
      for (let index = 1; index < arg.length; index += 1) {
        const letter = arg.charAt(index)
        const found = Object.entries(table).find(([, { short }]) => short === letter)
        if (!found) throw usage(`invalid option -- '${letter}'`)
        if (!found[1].takesValue) {
          options.push([found[0], ''])
          continue
        }
        let value: string | undefined = arg.slice(index + 1)
        if (value === '') {
          at += 1
          value = args[at]
        }
        if (value === undefined) throw usage(`option requires an argument -- '${letter}'`)
        options.push([found[0], value])
        break
      }
    } else operands.push(arg)
  }
  return { options, operands: [...operands, ...all.slice(args.length)] }
}

function longOption(
  spelled: string,
  table: OptionTable,
  usage: (reason: string) => UsageError,
): [name: string, spec: OptionSpec] {
  const all = Object.entries(table).filter(([, { long }]) => long?.startsWith(spelled))
  const exact = Object.entries(table).find(([, { long, aliases }]) => long === spelled || aliases?.includes(spelled))
  const found = exact ?? all[0]
  if (!found) throw usage(`unrecognized option '--${spelled}'`)
  if (!exact && all.length > 1) {
    const possible = all.map(([, { long }]) => `'--${long}'`).join(' ')
    throw usage(`option '--${spelled}' is ambiguous; possibilities: ${possible}`)
  }
  return found
}
