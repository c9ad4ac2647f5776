import { expect, it } from 'vitest'
import { onPage, type Work } from '../browser/storage-lab.js'
import { check, qemuImg } from '../js/helpers/qemu.js'
import { hours, useGuestLab } from './lab.js'
import { type PageGlobals, prepareLinux } from './page.js'

const { lab } = useGuestLab()

interface Saves {
  /** How long each took, in milliseconds. */
  readonly times: readonly number[]
  readonly verdicts: readonly string[]
}

/** Boots a machine with 64 MiB, and saves it twice. */
const saveTwice: Work<[], Saves> = async ({ opfs, Qcow2 }) => {
  const { linux } = globalThis as unknown as PageGlobals
  await opfs.import('disk', await (await fetch('/linux.qcow2')).blob())
  const image = await Qcow2.open(opfs('disk'), { writable: true })
  const { hda, hear, run, emulator } = await linux(image)
  await hear('ready> ')
  const times: number[] = []
  const verdicts: string[] = []
  for (const name of ['one', 'two']) {
    await run(`mkdir -p /mnt/work; VARIABLE=${name}; echo ${name} > /mnt/work/mark; sync`)
    const began = performance.now()
    await hda.savevm(name)
    times.push(performance.now() - began)
    verdicts.push((await image.check()).verdict)
  }
  await run('VARIABLE=three; echo three > /mnt/work/mark; sync')
  await emulator.stop()
  await hda.close()
  await image.close()
  return { times, verdicts }
}

interface Loads extends Saves {
  /** What the guest has in its memory and on its disk after each. */
  readonly found: readonly string[]
  /** How long the guest that was saved in the middle of a write took to finish it. */
  readonly finished: number
  readonly log: string
}

/** Goes back to saved machines, and to one that is saved in the middle of a write. */
const goBack: Work<[], Loads> = async ({ opfs, Qcow2 }) => {
  const { linux } = globalThis as unknown as PageGlobals
  const image = await Qcow2.open(opfs('disk'), { writable: true })
  const { hda, hear, run, emulator } = await linux(image, { autostart: false })
  const times: number[] = []
  const verdicts: string[] = []
  const found: string[] = []
  const load = async (name: string) => {
    const began = performance.now()
    await hda.loadvm(name)
    times.push(performance.now() - began)
    verdicts.push((await image.check()).verdict)
  }
  for (const name of ['one', 'two', 'one']) {
    await load(name)
    await emulator.run()
    found.push(await run('echo $VARIABLE; cat /mnt/work/mark'))
  }
  emulator.serial0_send('dd if=/dev/zero of=/mnt/work/large bs=64k count=80 conv=fsync; sync; echo "EN""D $?"\n')
  while (!hda.state.dirty) await new Promise((resolve) => setTimeout(resolve, 1))
  await hda.savevm('busy')
  await hear('END 0')
  await load('busy')
  const began = performance.now()
  await hear('END 0')
  const finished = performance.now() - began
  const log = await run('dmesg')
  await emulator.stop()
  await hda.close()
  await image.close()
  await fetch('/disk', { method: 'PUT', body: await opfs.file('disk') })
  return { times, verdicts, found, finished, log }
}

it(
  'a machine goes back to where it was saved, in a fresh page and in the middle of a write',
  async () => {
    const page = await lab.page()
    await onPage(page, prepareLinux)
    const saves = await onPage(page, saveTwice)
    await page.close()
    const fresh = await lab.page()
    await onPage(fresh, prepareLinux)
    const loads = await onPage(fresh, goBack)
    await fresh.close()
    const rounded = ({ times }: Saves) => times.map(Math.round).join(', ')
    console.log(
      `savevm ${rounded(saves)} ms; loadvm ${rounded(loads)} ms; dd finished ${Math.round(loads.finished)} ms later`,
    )
    expect(loads.found).toEqual(['one\none\n0\n', 'two\ntwo\n0\n', 'one\none\n0\n'])
    expect(loads.log).not.toMatch(/ata.*exception|lost interrupt|I\/O error/)
    expect(new Set([...saves.verdicts, ...loads.verdicts])).toEqual(new Set(['clean']))
    expect(check(lab.file('disk'))).toBe('clean')
    const list = qemuImg('snapshot', '-l', lab.file('disk'))
    console.log(list)
    for (const name of ['one', 'two', 'busy'])
      expect(list).toMatch(new RegExp(`\\s${name}\\s+[\\d.]+ MiB .* 0*[\\d]*:\\d\\d:\\d\\d\\.\\d{3,}`))
  },
  hours,
)
