import { copyFileSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { beforeAll, expect, test } from 'vitest'
import { run } from '../js/helpers/programs'
import { file, qemuImg, qemuIo } from '../js/helpers/qemu.js'
import { violations } from './axe'
import { ext4, fat, folder, partitioned, qcow2 } from './disk-lab'
import { usePageLab } from './page-lab'

const lab = usePageLab()

/** Changes an ext4 file system by the commands of debugfs. */
function debugfs(path: string, commands: string[]): void {
  writeFileSync(file('commands'), `${commands.join('\n')}\n`)
  run('debugfs', ['-w', '-f', 'commands', path])
}

beforeAll(() => {
  const home = folder('home', (root) => {
    mkdirSync(join(root, 'docs', 'deep'), { recursive: true })
    for (const name of ['same.txt', 'grows.txt', 'docs/gone.txt', 'docs/touched.txt', 'docs/deep/moved.txt']) {
      writeFileSync(join(root, name), `This is ${name}.`)
      utimesSync(join(root, name), 1_700_000_000, 1_700_000_000)
    }
    for (let index = 0; index < 500; index += 1) writeFileSync(join(root, 'docs', 'deep', `file ${index}`), '')
  })
  const stick = folder('stick', (root) => writeFileSync(join(root, 'SAME.TXT'), 'same'))
  const old = ext4('home.ext4', 16, home, '-L', 'home')
  qcow2('changes.qcow2', partitioned('changes.raw', [old, fat('stick.fat', 8, stick, 'STICK')]))
  qemuImg('snapshot', '-c', 'before', file('changes.qcow2'))

  copyFileSync(old, file('later.ext4'))
  writeFileSync(file('grown'), 'It has grown a lot.')
  debugfs(file('later.ext4'), [
    ...['rm grows.txt', `write ${file('grown')} grows.txt`],
    ...['rm docs/gone.txt', 'mkdir new', `write ${file('grown')} new/born.txt`],
    'sif docs/touched.txt mtime 20260101000000',
    ...['ln docs/deep/moved.txt docs/moved.txt', 'unlink docs/deep/moved.txt'],
  ])
  qemuIo(file('changes.qcow2'), `write -s ${file('later.ext4')} 1M 16M`)
  qemuImg('snapshot', '-c', 'after', file('changes.qcow2'))
  debugfs(file('later.ext4'), ['rm same.txt'])
  qemuIo(file('changes.qcow2'), `write -s ${file('later.ext4')} 1M 16M`)
})

const changes = async (page: Page): Promise<string[]> => {
  await page.getByText('Comparing the files…').waitFor({ state: 'detached' })
  const rows = await page.getByRole('table', { name: 'Files that differ' }).locator('tbody tr').allInnerTexts()
  return rows.map((row) => row.replace(/\s+/g, ' ').trim())
}

test('the files that were added, changed, moved and removed since a snapshot are listed', async () => {
  const page = await lab.openImage(file('changes.qcow2'), '#panel=snapshots')
  await page.getByRole('button', { name: 'Compare snapshot before with the disk' }).click()
  await page.getByRole('button', { name: /^Removed 2/ }).waitFor()
  expect(await changes(page)).toEqual([
    expect.stringMatching(/^− Removed \/docs\/gone\.txt 22 bytes/),
    expect.stringMatching(/^→ Moved \/docs\/moved\.txt from \/docs\/deep\/moved\.txt/),
    expect.stringMatching(/^∗ Changed \/docs\/touched\.txt only its times, owner or permissions/),
    expect.stringMatching(/^∗ Changed \/grows\.txt 18 bytes → 19 bytes/),
    expect.stringMatching(/^\+ Added \/new \d/),
    expect.stringMatching(/^\+ Added \/new\/born\.txt 19 bytes/),
    expect.stringMatching(/^− Removed \/same\.txt 17 bytes/),
  ])
  expect(await violations(page)).toEqual([])
})

test('two snapshots are compared, and what was removed is shown where it still is', async () => {
  const page = await lab.openImage(file('changes.qcow2'), '#panel=snapshots')
  await page.getByRole('button', { name: 'Compare snapshot before with the disk' }).click()
  await page.getByLabel('up to').selectOption('after')
  await page.getByRole('button', { name: /^Removed 1/ }).click()
  expect(await changes(page)).toEqual([expect.stringMatching(/^− Removed \/docs\/gone\.txt/)])
  await page.getByRole('button', { name: '/docs/gone.txt' }).click()
  await page.getByText('You are looking at the snapshot before').waitFor()
  await page.getByText('This is docs/gone.txt.').waitFor()
})

test('a disk that was not written since has no changes', async () => {
  qemuImg('snapshot', '-c', 'now', file('changes.qcow2'))
  const page = await lab.openImage(file('changes.qcow2'), '#panel=snapshots')
  await page.getByRole('button', { name: 'Compare snapshot now with the disk' }).click()
  await page.getByText('Nothing was changed: the two are the same disk.').waitFor()
})
