import { expect, it } from 'vitest'
import { onPage, type Work } from '../browser/storage-lab.js'
import { Random } from '../js/helpers/random.js'
import { checkFiles } from './files.js'
import { hours, useGuestLab } from './lab.js'
import { type PageGlobals, prepareLinux } from './page.js'

/** How often the browser is killed: behind a `loadvm`, and while a machine runs that has booted. `SEED` says at what moments. */
const kills = Number(process.env.KILLS ?? 30)
const boots = Number(process.env.BOOTS ?? Math.ceil(kills / 10))

const { lab } = useGuestLab()
const random = new Random(Number(process.env.SEED ?? 2026))

/** Boots from a new image, and saves the machine. */
const prepare: Work<[], number> = async ({ opfs, Qcow2 }) => {
  const { linux } = globalThis as unknown as PageGlobals
  await opfs.import('disk', await (await fetch('/linux.qcow2')).blob())
  const image = await Qcow2.open(opfs('disk'), { writable: true })
  const { hda, hear, run, emulator } = await linux(image)
  await hear('ready> ')
  await run('mkdir -p /mnt/work; sync')
  const began = performance.now()
  await hda.savevm('ready')
  const took = performance.now() - began
  await emulator.stop()
  await hda.close()
  await image.close()
  return took
}

/** Lets the guest write and sync files without an end, and tells the server of each that is synced. */
const write: Work<[boolean], never> = async ({ opfs, Qcow2 }, load) => {
  const { linux } = globalThis as unknown as PageGlobals
  const image = await Qcow2.open(opfs('disk'), { writable: true })
  const { hda, hear, emulator } = await linux(image, { autostart: !load })
  if (load) {
    await hda.loadvm('ready')
    await emulator.run()
  } else {
    await hear('ready> ')
  }
  emulator.serial0_send(
    'rm -rf /mnt/work/*; sync; n=0; while :; do n=$((n+1)); echo content $n > /mnt/work/file$n; sync; echo "SYN""CED $n"; done\n',
  )
  for (;;) {
    await hear('SYNCED ')
    const number = Number.parseInt(await hear('\r\n'), 10)
    // The next file may be synced before the server knows of this one: that is no loss.
    void fetch(`/synced?${number}`)
  }
}

const upload: Work<[], void> = async ({ opfs }) => {
  await fetch('/disk', { method: 'PUT', body: await opfs.file('disk') })
}

/** Runs the guest until it has synced some files, and ends the browser in the middle of what it does then. */
async function killed(load: boolean): Promise<number> {
  const page = await lab.page()
  await onPage(page, prepareLinux)
  const enough = 1 + random.below(12)
  let synced = 0
  await new Promise<void>((resolve, reject) => {
    lab.listen = (pathname, search) => {
      if (pathname !== '/synced') return
      synced = Math.max(synced, Number(search.slice(1)))
      if (synced >= enough) resolve()
    }
    onPage(page, write, load).catch(reject)
  })
  // Any moment of the next file will do.
  await new Promise((resolve) => setTimeout(resolve, random.below(200)))
  await lab.kill()
  const known = synced
  await lab.launch()
  return known
}

it(
  'no synced file is lost, whenever the browser is killed',
  async () => {
    const page = await lab.page()
    await onPage(page, prepareLinux)
    console.log(`savevm took ${Math.round(await onPage(page, prepare))} ms`)
    await page.close()
    let files = 0
    for (let kill = 0; kill < kills + boots; kill += 1) {
      const synced = await killed(kill < kills)
      await lab.onPage(upload)
      checkFiles(lab.file('disk'), synced)
      files += synced
      console.log(`kill ${kill + 1}: ${synced} synced files are there`)
    }
    expect(files).toBeGreaterThanOrEqual(kills + boots)
  },
  hours,
)
