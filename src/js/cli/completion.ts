import type { Command } from './command.js'
import { Failure, UsageError } from './failure.js'
import type { OptionTable } from './getopt.js'

/** The options of each command, by the command's name. */
export type Tables = Readonly<Record<string, OptionTable>>

/** `completion`: prints what a shell needs to complete commands, options and file names. */
export function completion(tables: () => Tables): Command {
  return {
    summary: 'Prints a script that lets a shell complete commands and options.',
    usage: 'completion bash|zsh|fish',
    options: {},
    async run(host, { operands }) {
      const [shell] = operands
      if (shell === undefined || operands.length > 1) throw new UsageError('Expecting one shell: bash, zsh or fish')
      const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined
      if (!script) throw new Failure(`There is no completion for '${shell}': it is for bash, zsh and fish`)
      host.out(script(tables()))
      return 0
    },
  }
}

const scripts: Readonly<Record<string, (tables: Tables) => string>> = { bash, zsh, fish }

/** The spellings of a command's options. */
function spellings(table: OptionTable): string[] {
  return Object.values(table).flatMap(({ short, long }) => [
    ...(short === undefined ? [] : [`-${short}`]),
    ...(long === undefined ? [] : [`--${long}`]),
  ])
}

function bash(tables: Tables): string {
  const cases = Object.entries(tables).map(([name, table]) => `    ${name}) words='${spellings(table).join(' ')}' ;;`)
  return [
    '_qcow2_web() {',
    `  local word=\${COMP_WORDS[COMP_CWORD]} words=`,
    `  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W '${Object.keys(tables).join(' ')}' -- "$word")); return; fi`,
    `  case \${COMP_WORDS[1]} in`,
    ...cases,
    '  esac',
    '  case $word in',
    '    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;',
    '    *) COMPREPLY=($(compgen -f -- "$word")) ;;',
    '  esac',
    '}',
    'complete -o filenames -F _qcow2_web qcow2-web',
    '',
  ].join('\n')
}

function zsh(tables: Tables): string {
  return `autoload -U +X bashcompinit && bashcompinit\n${bash(tables)}`
}

function fish(tables: Tables): string {
  const names = Object.keys(tables)
  const lines = [`complete -c qcow2-web -n __fish_use_subcommand -f -a '${names.join(' ')}'`]
  for (const [name, table] of Object.entries(tables)) {
    for (const { short, long, takesValue } of Object.values(table)) {
      const spelled = [short && `-s ${short}`, long && `-l ${long}`, takesValue && '-r'].filter(Boolean).join(' ')
      lines.push(`complete -c qcow2-web -n '__fish_seen_subcommand_from ${name}' ${spelled}`)
    }
  }
  return `${lines.join('\n')}\n`
}
