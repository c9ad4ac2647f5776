import { amend } from './amend.js'
import { bitmap } from './bitmap.js'
import { check } from './check.js'
import type { Command } from './command.js'
import { commit } from './commit.js'
import { compare } from './compare.js'
import { completion, type Tables } from './completion.js'
import { convert } from './convert.js'
import { create } from './create.js'
import { dd } from './dd.js'
import { info } from './info.js'
import { map } from './map.js'
import { measure } from './measure.js'
import { rebase } from './rebase.js'
import { resize } from './resize.js'
import { serve } from './serve.js'
import { snapshot } from './snapshot.js'

/** The commands by name. */
export const commands: Readonly<Record<string, Command>> = {
  amend,
  bitmap,
  check,
  commit,
  compare,
  completion: completion(() => tables()),
  convert,
  create,
  dd,
  info,
  map,
  measure,
  rebase,
  resize,
  serve,
  snapshot,
}

/** The options of every command. */
function tables(): Tables {
  return Object.fromEntries(Object.entries(commands).map(([name, { options }]) => [name, options]))
}
