import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { expect, it } from 'vitest'
import { buildWithVite } from '../js/helpers/package.js'
import { check, contents, convert, qemuImg } from '../js/helpers/qemu.js'
import { useInstalledPackage } from './installed.js'

const examples = join(import.meta.dirname, '../../examples')
const disk = convert('disk.qcow2', contents(300_032, 5))
const project = useInstalledPackage((folder) => {
  // Where their authors would have them: beside the installed package.
  for (const name of ['vite', 'node']) cpSync(join(examples, name), join(folder, name), { recursive: true })
  cpSync(join(examples, 'viewer/index.html'), join(folder, 'viewer.html'))
})

/** Opens a page; what it complains of fails the test. */
async function open(path: string): Promise<Page> {
  const page = await project.browser.newPage()
  page.on('pageerror', (error) => expect.soft(error).toBeUndefined())
  await page.goto(`${project.site.url}/${path}`)
  return page
}

it('the viewer in one file shows an image, and says what is none', async () => {
  const page = await open('viewer.html')
  await page.setInputFiles('#file', disk)
  await page.getByText('300032').waitFor()
  await page.locator('#files > li').first().waitFor()
  await page.setInputFiles('#file', join(project.folder, 'package.json'))
  await page.getByText('qcow2', { exact: false }).waitFor()
  expect(await page.locator('#info').textContent()).toBe('')
  await page.close()
})

it('the Vite app keeps an image, changes it, and has it still in another page', async () => {
  const { warnings } = await buildWithVite(join(project.folder, 'vite'))
  expect(warnings).toEqual([])
  let page = await open('vite/dist/index.html')
  await page.setInputFiles('#file', disk)
  await page.getByRole('button', { name: 'Take a snapshot' }).click()
  await page.getByText('The disk has 1.').waitFor()
  await page.reload()
  await page.getByRole('button', { name: 'Take a snapshot' }).click()
  await page.getByText('The disk has 2.').waitFor()
  await page.getByRole('button', { name: 'Delete' }).click()
  await page.locator('#disks li').waitFor({ state: 'detached' })
  await page.close()
  page = await open('vite/dist/index.html')
  expect(await page.locator('#disks li').count()).toBe(0)
  await page.close()
})

it('the program for Node makes a small copy with the same bytes', () => {
  const small = join(project.folder, 'small.qcow2')
  execFileSync(process.execPath, ['node/compact.mjs', disk, small], { cwd: project.folder })
  expect(check(small)).toBe('clean')
  qemuImg('compare', '-q', disk, small)
  expect(readFileSync(small).subarray(0, 3).toString()).toBe('QFI')
})
