import { isQcow2Error } from '../index.js'
import type { Command } from './command.js'
import { commands } from './commands.js'
import { Failure, program, UsageError } from './failure.js'
import { getopt } from './getopt.js'
import type { Host } from './host.js'

/** The release of qemu-img whose options and output this command has. */
const like = '10.0.2'

/** Runs the command that `args` describe, and returns its exit code. Nothing is thrown. */
export async function run(args: readonly string[], host: Host, version: string): Promise<number> {
  const [name, ...rest] = args
  try {
    if (name === undefined) throw new UsageError('Not enough arguments')
    if (name.startsWith('-')) return standard(args, host, version)
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (!command) throw new UsageError(`Command not found: ${name}`)
    return await perform(name, command, rest, host)
  } catch (error) {
    return report(error, host, '')
  }
}

async function perform(name: string, command: Command, args: readonly string[], host: Host): Promise<number> {
  try {
    const table = { ...command.options, help: { short: 'h', long: 'help' } }
    const parsed = getopt(name, args, table, command.trailing)
    if (parsed.options.some(([option]) => option === 'help')) {
      host.out(help(name, command))
      return 0
    }
    return await command.run(host, parsed)
  } catch (error) {
    return report(error, host, `${name} `)
  }
}

/** Options in place of a command. */
function standard(args: readonly string[], host: Host, version: string): number {
  const table = { help: { short: 'h', long: 'help' }, version: { short: 'V', long: 'version' } }
  const { options, operands } = getopt('', args, { ...table, trace: { short: 'T', long: 'trace', takesValue: true } })
  const [option] = options.find(([each]) => each !== 'trace') ?? []
  if (option === 'version') host.out(`qemu-img version ${like} (qcow2-web ${version})\n`)
  else if (option === 'help') host.out(overview(version))
  else throw new UsageError(operands.length > 0 ? `Command not found: ${operands[0]}` : 'Not enough arguments')
  return 0
}

function report(error: unknown, host: Host, command: string): number {
  if (error instanceof UsageError) {
    const message = error.prefixed ? `${program}: ${error.message}` : error.message
    host.err(`${message}\nTry '${program} ${command}--help' for more info\n`)
    return 1
  }
  if (error instanceof Failure) {
    if (error.message !== '') host.err(`${program}: ${error.message}\n`)
    return error.exitCode
  }
  host.err(`${program}: ${isQcow2Error(error) ? error.reason : String((error as Error)?.message ?? error)}\n`)
  return 1
}

function help(name: string, command: Command): string {
  return `${command.summary}\n\nUsage: qcow2-web ${command.usage}\n\n${note(name)}\n`
}

function note(name: string): string {
  if (name === 'serve')
    return 'It prints an address for a browser on this machine. Without --port it takes a port that is free.'
  if (name === 'completion') return 'The shell reads what it prints.'
  return `The options are those of \`qemu-img ${name}\`.`
}

function overview(version: string): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}\n`)
  return (
    `qcow2-web ${version}: everything that qemu-img ${like} does with qcow2 and raw files, with its options and its output.\n\n` +
    `Usage: qcow2-web COMMAND [OPTIONS]\n\nCommands:\n${lines.join('')}\n` +
    'qcow2-web COMMAND --help shows how a command is used.\n'
  )
}
