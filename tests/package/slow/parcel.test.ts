import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { useInstalledPackage } from '../installed.js'
import { add, completeWithFiles, page, program, programWithFiles, tourOn, write } from '../lab.js'

const project = useInstalledPackage((folder) => add(folder, 'parcel@2'))

it('Parcel 2 builds an app without configuration, and adds no package to it', async () => {
  write(project.folder, {
    'index.html': page('./main.js'),
    'main.js': programWithFiles,
    'tour.js': program('qcow2-web'),
  })
  const parcel = join(project.folder, 'node_modules/.bin/parcel')
  const args = ['build', 'index.html', '--public-url', './', '--no-autoinstall', '--no-cache']
  execFileSync(parcel, args, { cwd: project.folder, stdio: 'pipe' })
  expect(await tourOn(project.browser, `${project.site.url}/dist/index.html`)).toEqual(completeWithFiles)
})
