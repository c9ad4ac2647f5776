// `npm run format`: formats everything, and fixes what the linters can fix.
import { formatted, main, run, tool } from './lib.mjs'
import { setup } from './setup.mjs'

await main(import.meta.url, async () => {
  await setup(['rust', 'packages'])
  for (const manifest of formatted) run('cargo', ['fmt', '--all', '--manifest-path', manifest])
  tool('@biomejs/biome', ['check', '--write'], { name: 'biome' })
})
