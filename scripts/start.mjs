// `npm start`: sets up what is missing, builds the package and the page, and serves the page to this machine only.
// `npm run dev` serves the page from its sources instead, and again after each change.
import { build } from './build.mjs'
import { foreground, main, npmTool, say, tool } from './lib.mjs'
import { setup } from './setup.mjs'

await main(import.meta.url, async ([mode = 'preview', ...rest]) => {
  await setup(['rust', 'packages', 'wasm', 'firmware'])
  await build()
  if (mode === 'preview') {
    say('building the page')
    tool('vite', ['build', 'www', '--logLevel', 'warn'])
  }
  say('starting the page; Ctrl+C ends it')
  process.exitCode = await foreground(process.execPath, [npmTool('vite'), mode, 'www', '--host', '127.0.0.1', ...rest])
})
