// Folders that are built: what each was made from, and making one anew.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inRoot } from './lib.mjs'

/** What `folder` was made from, if it was. */
export function stampOf(folder) {
  const file = join(folder, '.stamp')
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

/** Makes the content of `folder` aside, so that the old one stays whole until the new one is. */
export async function staged(folder, stamp, make) {
  mkdirSync(inRoot('target'), { recursive: true })
  const stage = mkdtempSync(inRoot('target', 'stage-'))
  try {
    await make(stage)
    rmSync(folder, { recursive: true, force: true })
    cpSync(stage, folder, { recursive: true })
    writeFileSync(join(folder, '.stamp'), stamp)
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}
