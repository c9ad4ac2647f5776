import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { create, file, json, qemuImg, qemuIo } from '../js/helpers/qemu.js'
import { FileServer } from '../js/helpers/server.js'
import { chooseFile, eventually, fact, shownBytes, usePageLab } from './page-lab'
import { samplePath } from './page-server'

interface QemuInfo {
  'virtual-size': number
  'cluster-size': number
  'format-specific': { data: Record<string, unknown> }
  children: { info: { 'virtual-size': number } }[]
}

const lab = usePageLab()

test('the sample opens, and its summary has the values of qemu-img info', async () => {
  const page = await lab.open()
  await page.getByRole('button', { name: 'Try a sample' }).click()
  await page.getByRole('tablist').waitFor()
  const info = json<QemuInfo>('info', samplePath)
  const { data } = info['format-specific']
  expect(await fact(page, 'virtual-size')).toBe(String(info['virtual-size']))
  expect(await fact(page, 'cluster-size')).toBe(String(info['cluster-size']))
  expect(await fact(page, 'file-length')).toBe(String(info.children[0]?.info['virtual-size']))
  expect(await fact(page, 'format')).toContain(`compat ${data.compat}`)
  expect(await fact(page, 'compression-type')).toContain(String(data['compression-type']))
  expect(await fact(page, 'refcount-bits')).toBe(String(data['refcount-bits']))
  // What it does not have is one line.
  expect(await fact(page, 'without')).toMatch(/^backing file, .*extended L2, lazy refcounts, .*mark of damage$/)
  expect(await page.getByRole('button', { name: 'Edit', exact: true }).isVisible()).toBe(true)
  await page.getByText('ext4', { exact: false }).first().waitFor()
})

test('every option of an image shows in the summary', async () => {
  const options = 'compression_type=zstd,extended_l2=on,cluster_size=128k,refcount_bits=64,lazy_refcounts=on'
  const image = create('options.qcow2', '300M', '-o', options)
  qemuImg('bitmap', '--add', '-g', '1M', image, 'nightly')
  const page = await lab.openImage(image)
  expect(await fact(page, 'virtual-size')).toBe(String(300 * 1024 * 1024))
  expect(await fact(page, 'cluster-size')).toBe('131072')
  expect(await fact(page, 'compression-type')).toBe('zstd')
  expect(await fact(page, 'refcount-bits')).toBe('64')
  expect(await fact(page, 'lazy-refcounts')).toBe('yes')
  expect(await fact(page, 'extended-l2')).toMatch(/^yes/)
  const bitmaps = page.getByRole('region', { name: 'Dirty bitmaps' })
  expect(await bitmaps.innerText()).toMatch(/nightly[\s\S]*1 MiB/)
  const features = page.getByRole('region', { name: 'Features' })
  expect(await features.innerText()).toMatch(/extended L2 entries[\s\S]*incompatible, bit 4/)
})

test('an image that was not closed and one that is corrupt open with a warning', async () => {
  const image = create('dirty.qcow2', '1M', '-o', 'lazy_refcounts=on')
  const page = await lab.open()
  const bytes = readFileSync(image)
  bytes.writeUInt32BE(3, 76)
  const buffer = { name: 'dirty.qcow2', mimeType: '', buffer: bytes }
  await page.locator('input[aria-label="A qcow2 image"]').setInputFiles(buffer)
  await page.getByText('Marked as corrupt.').waitFor()
  await page.getByText('Not closed properly.').waitFor()
  expect(await fact(page, 'dirty')).toMatch(/^yes/)
  expect(await fact(page, 'corrupt')).toMatch(/^yes/)
})

test('a sparse image of 100 GB shows its summary, and is surveyed', async () => {
  const image = create('large.qcow2', 100_000_000_000)
  qemuIo(image, `write -P 1 ${90 * 2 ** 30} 640k`)
  const page = await lab.open()
  const began = performance.now()
  await chooseFile(page, 'A qcow2 image', image)
  expect(await fact(page, 'virtual-size')).toBe('100000000000')
  console.log(
    `summary of 100 GB after ${Math.round(performance.now() - began)} ms, the browser's handling of the file included`,
  )
  const data = page.locator('[data-kind="data"] data')
  await data.waitFor()
  await eventually(() => data.getAttribute('value')).toBe(String(640 * 1024))
})

test('a partition leads to its first byte in the map and in the bytes', async () => {
  const page = await lab.open('#image=sample&panel=overview')
  await page.getByRole('button', { name: 'Bytes of partition 3' }).click()
  const { bytes } = await shownBytes(page)
  expect(Buffer.from(bytes).toString('latin1')).toContain('This is the sample disk')
  await eventually(() => page.url()).toContain('at=0x3800000')
  await page.getByRole('button', { name: /^Swap swap, 8 MiB/ }).click()
  await eventually(() => page.locator('.inspector h2').innerText()).toBe('0x5000000')
  await page.getByRole('tab', { name: 'Map' }).click()
  await page.getByRole('button', { name: /^Home ext4, 48 MiB/ }).click()
  await page.locator('.walk').getByText('0x800000', { exact: true }).waitFor()
})

test('the address keeps the view: panel, offset and snapshot come back after a reload, and Back goes back', async () => {
  const page = await lab.open('#image=sample&panel=hex&at=0x3800010&snapshot=1')
  await page.getByText('You are looking at the snapshot').waitFor()
  expect(await page.locator('.inspector h2').innerText()).toBe('0x3800010')
  await page.getByRole('tab', { name: 'Overview' }).click()
  await page.getByRole('tab', { name: 'Snapshots' }).click()
  await page.goBack()
  await eventually(() => page.getByRole('tab', { name: 'Overview' }).getAttribute('aria-selected')).toBe('true')
  await page.goBack()
  await page.locator('.hex-rows').waitFor()
  await page.reload()
  await page.getByText('You are looking at the snapshot').waitFor()
  expect(await page.locator('.inspector h2').innerText()).toBe('0x3800010')
})

test('a snapshot opens as the disk it was, with a banner and a way back', async () => {
  const image = create('snapshots.qcow2', '4M')
  qemuIo(image, 'write -P 0x11 1M 64k')
  qemuImg('snapshot', '-c', 'first', image)
  qemuIo(image, 'write -P 0x22 1M 64k')
  qemuImg('resize', '-q', image, '8M')
  const page = await lab.openImage(image, '#panel=snapshots')
  await page.getByRole('button', { name: 'Open snapshot first' }).click()
  const banner = page.getByText('You are looking at the snapshot')
  await banner.waitFor()
  expect(await banner.innerText()).toContain('first')
  await page.getByRole('tab', { name: 'Overview' }).click()
  expect(await fact(page, 'virtual-size')).toBe(String(4 * 1024 * 1024))

  await page.getByRole('tab', { name: 'Bytes' }).click()
  const goTo = async (text: string) => {
    await page.getByLabel('Go to').fill(text)
    await page.getByLabel('Go to').press('Enter')
    await eventually(() => page.locator('.inspector h2').innerText()).toBe('0x100000')
    const { start, bytes } = await shownBytes(page)
    const at = Number(0x100000n - start)
    return bytes.slice(at, at + 16)
  }
  qemuImg('convert', '-l', 'first', '-O', 'raw', image, 'first.raw')
  expect(await goTo('1M')).toEqual([...readFileSync(file('first.raw')).subarray(0x100000, 0x100010)])
  await page.getByRole('button', { name: 'Back to the active disk' }).click()
  await banner.waitFor({ state: 'detached' })
  expect(await goTo('0x100000')).toEqual(Array(16).fill(0x22))
})

test('by the keyboard alone: from the start to a byte, to a snapshot and back', async () => {
  const page = await lab.open()
  const press = async (...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key)
  }
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() ?? '')
  const tabTo = async (text: string) => {
    for (let count = 0; count < 60 && !(await focused()).startsWith(text); count++) await press('Tab')
    expect(await focused()).toMatch(new RegExp(`^${text}`))
  }
  await tabTo('Try a sample')
  await press('Enter')
  await page.getByRole('tablist').waitFor()

  await tabTo('Files')
  await press('ArrowRight', 'ArrowRight')
  expect(await focused()).toBe('Map')
  await page.getByRole('application').waitFor()
  await page.getByRole('application').focus()
  await press('Control+Home', 'ArrowRight', 'ArrowDown', 'ArrowLeft', '+')
  await eventually(() => page.url()).toContain('cell=')
  await press('Enter')
  await page.locator('.hex-rows').waitFor()

  await press('g')
  await page.keyboard.type('0x3800000')
  await press('Enter', 'ArrowRight', 'ArrowDown', 'End')
  await eventually(() => page.locator('.inspector h2').innerText()).toBe('0x380001f')
  await press('Control+End')
  await eventually(() => page.locator('.inspector h2').innerText()).toBe('0x5ffffff')

  await press('5')
  await page.getByRole('button', { name: 'Open snapshot fresh install' }).waitFor()
  await tabTo('Open')
  for (let count = 0; count < 10; count++) {
    if (await page.evaluate(() => document.activeElement?.getAttribute('aria-label') === 'Open snapshot fresh install'))
      break
    await press('Tab')
  }
  await press('Enter')
  await page.getByText('You are looking at the snapshot').waitFor()

  await press('?')
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor()
  await press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
})

test('colours follow the system, and the button overrules it for good', async () => {
  const page = await lab.open('', { colorScheme: 'dark' })
  const lightness = () =>
    page.evaluate(() => {
      const context = document.createElement('canvas').getContext('2d')
      if (!context) return Number.NaN
      context.fillStyle = getComputedStyle(document.documentElement).backgroundColor
      context.fillRect(0, 0, 1, 1)
      return context.getImageData(0, 0, 1, 1).data[1] ?? Number.NaN
    })
  expect(await lightness()).toBeLessThan(60)
  await page.getByRole('button', { name: 'Colours: as the system' }).click()
  expect(await lightness()).toBeGreaterThan(230)
  await page.reload()
  expect(await lightness()).toBeGreaterThan(230)
  await page.getByRole('button', { name: 'Colours: light' }).click()
  expect(await lightness()).toBeLessThan(60)
})

test('neither the built page nor its workers reach another origin', async () => {
  const other = await new FileServer(new Uint8Array(10)).start()
  try {
    other.exposed = ''
    const page = await lab.open('#image=sample&panel=map')
    await page.getByRole('tablist').waitFor()
    const reach = async (url: string) => {
      const viaFetch = await fetch(url, { mode: 'no-cors' }).then(
        () => 'reached',
        () => 'refused',
      )
      const viaRequest = await new Promise<string>((resolve) => {
        const request = new XMLHttpRequest()
        request.onload = () => resolve('reached')
        request.onerror = () => resolve('refused')
        request.open('GET', url)
        request.send()
      })
      return [viaFetch, viaRequest]
    }
    // The page itself would also be refused by what its document says.
    expect(await page.evaluate(reach, other.url)).toEqual(['refused', 'refused'])
    const [worker, ...more] = page.workers()
    expect([worker?.url(), more.length]).toEqual([expect.stringMatching(/\/assets\/worker-/), 0])
    expect(await worker?.evaluate(reach, other.url)).toEqual(['refused', 'refused'])
    expect(other.requests).toEqual([])
  } finally {
    other.stop()
    // What was tried here on purpose is none of the page's own requests.
    const own = lab.requests.splice(0).filter((url) => url !== other.url)
    lab.requests.push(...own)
    // The browser says what it has refused.
    expect(lab.complaints.splice(0).join('\n')).toMatch(/Content Security Policy/)
  }
})

test('the built page forbids itself every other origin, and asks for nothing but its own files', async () => {
  const page = await lab.open('#image=sample&panel=map')
  await page.locator('.walk h2').waitFor()
  const policy = await page.locator('meta[http-equiv="Content-Security-Policy"]').getAttribute('content')
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain("connect-src 'self'")
  expect(policy).not.toMatch(/unsafe-inline|unsafe-eval'(?<!wasm-unsafe-eval')|\*|https?:/)
  expect(await page.locator('meta[name="description"]').getAttribute('content')).toMatch(/Nothing is uploaded/)
  expect(lab.requests.filter((url) => !url.startsWith(lab.url) && !url.startsWith('blob:'))).toEqual([])
})

test('once it was opened, the page works without a network', async () => {
  const page = await lab.open()
  const worker = () => page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.active?.state)
  await eventually(worker).toBe('activated')
  await page.context().setOffline(true)
  await page.reload()
  await page.getByRole('button', { name: 'Try a sample' }).click()
  await page.getByRole('grid').getByText('README.txt').waitFor()
  expect(await fact(page, 'virtual-size')).toBe(String(96 * 2 ** 20))
})
