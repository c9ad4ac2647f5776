import { expect, it } from 'vitest'
import { onPage, type Work } from '../browser/storage-lab.js'
import { checkFiles } from './files.js'
import { hours, useGuestLab } from './lab.js'
import { type PageGlobals, prepareLinux } from './page.js'

const MiB = 1024 * 1024
const files = 5

const { lab } = useGuestLab({ compressed: true })

const importDisk: Work<[], void> = async ({ opfs }) => {
  await opfs.import('disk', await (await fetch('/linux.qcow2')).blob())
}

interface Full {
  readonly codes: string[]
  readonly text: string
}

/** Syncs files, writes until there is no more room, and saves the machine elsewhere. */
const fill: Work<[number], Full> = async ({ memory, opfs, Qcow2 }, files) => {
  const { linux } = globalThis as unknown as PageGlobals
  const image = await Qcow2.open(opfs('disk'), { writable: true })
  const codes = new Set<string>()
  const { hda, hear, run, emulator } = await linux(
    image,
    {},
    {
      onChange: ({ failed }) => void (failed && codes.add(failed.code)),
    },
  )
  await hear('ready> ')
  await run('mkdir -p /mnt/work; sync')
  for (let number = 1; number <= files; number += 1) await run(`echo content ${number} > /mnt/work/file${number}; sync`)
  const text = await run('dd if=/dev/urandom of=/mnt/work/large bs=64k count=320 conv=fsync')
  const elsewhere = memory()
  const other = await Qcow2.create(elsewhere, { size: image.size })
  await hda.savevm('elsewhere', { into: other })
  await other.close()
  await emulator.stop()
  // As a blob, for the driver of the browser takes over the bytes of other bodies.
  await fetch('/elsewhere', { method: 'PUT', body: new Blob([elsewhere.bytes() as Uint8Array<ArrayBuffer>]) })
  return { codes: [...codes], text }
}

const upload: Work<[], void> = async ({ opfs }) => {
  await fetch('/disk', { method: 'PUT', body: await opfs.file('disk') })
}

it(
  'a guest sees an error when the browser has no more room, and loses nothing that it has synced',
  async () => {
    await lab.onPage(importDisk)
    await lab.limit(10 * MiB)
    const page = await lab.page()
    await onPage(page, prepareLinux)
    const { codes, text } = await onPage(page, fill, files)
    await page.close()
    expect(codes).toEqual(['QUOTA'])
    expect(text).toMatch(/error[\s\S]*[1-9]\n$/i)
    checkFiles(lab.file('elsewhere'), files)
    await lab.onPage(upload)
    checkFiles(lab.file('disk'), files)
  },
  hours,
)
