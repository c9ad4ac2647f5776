import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { contents, convert, create, file, qemuIo } from '../js/helpers/qemu.js'
import { eventually, qemuRead, shownBytes, usePageLab } from './page-lab'
import { samplePath } from './page-server'

const lab = usePageLab()

test('the bytes are those that qemu-io reads, wherever one goes', async () => {
  const image = convert('mixed.qcow2', contents(6_000_000), '-c', '-o', 'cluster_size=16k')
  const page = await lab.openImage(image, '#panel=hex')
  for (const offset of ['0', '0x3ff8', '1M', '2.5 MiB', '-512', '0x4000']) {
    await page.getByLabel('Go to').fill(offset)
    await page.getByLabel('Go to').press('Enter')
    const { start, bytes } = await shownBytes(page)
    expect(bytes.length).toBeGreaterThan(200)
    expect(bytes).toEqual(qemuRead(image, start, bytes.length))
  }
})

test('the byte that one goes to is in view immediately: keys may follow before the page is painted again', async () => {
  const page = await lab.openImage(create('at-once.qcow2', '8M'), '#panel=hex')
  await shownBytes(page)
  const there = await page.getByLabel('Go to').evaluate(async (field: HTMLInputElement) => {
    field.value = '4M'
    field.form?.requestSubmit()
    // What waits for no frame is done by the next turn.
    await new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel()
      port1.onmessage = resolve
      port2.postMessage(0)
    })
    return document.getElementById(`byte-${4 << 20}`) !== null
  })
  expect(there).toBe(true)
})

test('the image file is shown as it is stored', async () => {
  const page = await lab.open('#image=sample&panel=hex')
  await page.getByRole('button', { name: 'Image file' }).click()
  const { start, bytes } = await shownBytes(page)
  expect(start).toBe(0n)
  expect(bytes).toEqual([...readFileSync(samplePath).subarray(0, bytes.length)])
  await eventually(() => page.url()).toContain('of=image')
})

test('the inspector reads the bytes, and shows where they are stored', async () => {
  const image = create('inspect.qcow2', '4M')
  qemuIo(image, 'write -P 0x80 1M 64k')
  const page = await lab.openImage(image, '#panel=hex&at=0x100003')
  const reading = (name: string) => page.locator(`[data-reading="${name}"] dd`).innerText()
  await eventually(() => reading('16 bits')).toBe('32,896 or -32,640')
  expect(await reading('Binary')).toBe('10000000')
  const host = Number(await page.locator('.inspector [data-host]').getAttribute('data-host'))
  expect(readFileSync(image).subarray(host - 3, host + 2)).toEqual(Buffer.alloc(5, 0x80))
  await page.locator('.inspector [data-host]').click()
  await eventually(() => page.locator('.inspector h2').innerText()).toBe(`0x${host.toString(16)}`)
  expect((await shownBytes(page)).bytes).toContain(0x80)
})

test('the last bytes of a disk of 2 EiB are reached and counted exactly', async () => {
  const image = create('huge.qcow2', String(2n ** 61n), '-o', 'cluster_size=2M')
  qemuIo(image, `write -P 0x99 ${2n ** 61n - 512n} 512`)
  const page = await lab.openImage(image, '#panel=hex')
  await page.locator('.hex-rows').focus()
  await page.keyboard.press('Control+End')
  await eventually(() => page.locator('.inspector h2').innerText()).toBe('0x1fffffffffffffff')
  const { start, bytes } = await shownBytes(page)
  expect(start + BigInt(bytes.length)).toBe(2n ** 61n)
  expect(bytes).toEqual(qemuRead(image, start, bytes.length))
  await page.keyboard.press('ArrowLeft')
  await eventually(() => page.locator('.inspector h2').innerText()).toBe('0x1ffffffffffffffe')
})

test('keys, wheel and scrollbar move through the bytes', async () => {
  const page = await lab.open('#image=sample&panel=hex')
  const at = () => page.locator('.inspector h2').innerText()
  const top = async () => (await shownBytes(page)).start
  await page.locator('.hex-rows').focus()
  for (const key of ['ArrowDown', 'ArrowRight', 'ArrowRight', 'ArrowUp']) await page.keyboard.press(key)
  await eventually(at).toBe('0x2')
  await page.keyboard.press('End')
  await eventually(at).toBe('0xf')
  await page.keyboard.press('PageDown')
  await page.keyboard.press('PageDown')
  expect(await top()).toBeGreaterThan(0n)
  await page.keyboard.press('Control+Home')
  await eventually(at).toBe('0x0')
  expect(await top()).toBe(0n)

  await page.locator('.hex-rows').hover()
  await page.mouse.wheel(0, 220)
  await eventually(top).toBe(160n)
  const bar = await page.locator('.hex-box .scrollbar').boundingBox()
  if (!bar) throw new Error('There is no scrollbar.')
  await page.mouse.click(bar.x + bar.width / 2, bar.y + bar.height - 2)
  await eventually(async () => Number(await top())).toBeGreaterThan(95 * 2 ** 20)
})

test('an image made anew under the same name is read anew', async () => {
  const image = create('anew.qcow2', '1M')
  qemuIo(image, 'write -P 1 0 64k')
  const page = await lab.openImage(image, '#panel=hex')
  expect((await shownBytes(page)).bytes[0]).toBe(1)
  const other = create('anew2.qcow2', '2M')
  qemuIo(other, 'write -P 2 0 64k')
  await page.locator('input[aria-label="Another qcow2 image"]').setInputFiles(file('anew2.qcow2'))
  await page.getByRole('heading', { name: 'anew2.qcow2' }).waitFor()
  await page.getByRole('tab', { name: 'Bytes' }).click()
  expect((await shownBytes(page)).bytes[0]).toBe(2)
})

test('a row has as many bytes as there is room for, whatever the width of the page', async () => {
  const page = await lab.open('#image=sample&panel=hex')
  await page.locator('.hex-row').first().waitFor()
  const rows = page.locator('.hex-rows')
  const beyond = () =>
    rows.evaluate((element) => {
      const ends = [...element.querySelectorAll('.hex-text')].map((text) => text.getBoundingClientRect().right)
      return Math.max(...ends) - element.getBoundingClientRect().right
    })
  for (const width of [1440, 1100, 1024, 960, 900, 820, 640, 390]) {
    await page.setViewportSize({ width, height: 800 })
    await eventually(beyond).toBeLessThanOrEqual(0)
  }
})
