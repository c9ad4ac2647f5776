// `npm run docs`: builds the site of the interface and its guides into docs/api, and serves it to this machine only.
import { build } from './build.mjs'
import { foreground, inRoot, main, npmTool, say, tool } from './lib.mjs'
import { setup } from './setup.mjs'

const site = inRoot('docs', 'api')
/** In the order of the site. */
const guides = ['viewer', 'emulator', 'node', 'storages', 'files', 'encryption', 'errors', 'bundlers', 'browsers']
const documents = [...guides.map((name) => `docs/guides/${name}.md`), 'docs/command.md', 'docs/hosting.md']

/** Builds the site. A link to something that is not there, and an export without documentation, end it. */
export function buildDocs() {
  const options = [
    '--emit',
    'docs',
    '--out',
    site,
    '--readme',
    'README.md',
    '--name',
    'qcow2-web',
    '--logLevel',
    'Warn',
  ]
  const languages = ['typescript', 'javascript', 'bash', 'html', 'nginx'].flatMap((each) => [
    '--highlightLanguages',
    each,
  ])
  tool('typedoc', [...options, ...languages, ...documents.flatMap((path) => ['--projectDocuments', path])], {
    otherwise: 'The site of the documentation could not be built.',
  })
}

await main(import.meta.url, async (options) => {
  await setup(['packages', 'wasm'])
  // The documentation of the exports names types of the modules.
  await build()
  say('building the documentation')
  buildDocs()
  say('starting the site; Ctrl+C ends it')
  const vite = [npmTool('vite'), 'preview', 'docs', '--outDir', 'api', '--host', '127.0.0.1']
  process.exitCode = await foreground(process.execPath, [...vite, ...options])
})
