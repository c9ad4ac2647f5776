import { useEffect, useRef, useState } from 'preact/hooks'
import { isQcow2Error } from 'qcow2-web'
import type { V86DiskState } from 'qcow2-web/v86'
import { messageOf } from '../src/engine/message'
import type { Source } from '../src/engine/source'
import { Mark } from '../src/ui/icon'
import { Notice } from '../src/ui/notice'
import { ThemeButton } from '../src/ui/theme-button'
import { ChangedDisk } from './changed-disk'
import { Controls } from './controls'
import { type Machine, removeMachine, startMachine } from './machine'
import { SavedMachines } from './saved'
import { Screen } from './screen'
import { Serial } from './serial'

const MEMORY = 128 * 1024 * 1024

type Given = Source | Promise<Source> | null

/** The page of a machine. */
export function EmulatorPage({ given }: { given: Given }) {
  const screen = useRef<HTMLDivElement>(null)
  const [machine, setMachine] = useState<Machine | null>(null)
  const [problem, setProblem] = useState<string | null>(null)
  /** The disk whose file is another one than the machine was made over. */
  const [changed, setChanged] = useState<Source | null>(null)
  const [acceptChangedBase, setAccept] = useState(false)
  /** Counts the attempts to start. */
  const [attempt, setAttempt] = useState(0)
  const [fault, setFault] = useState<string | null>(null)
  const [dirty, setDirty] = useState(false)
  const [serial, setSerial] = useState('')
  /** Changes whenever the image may have others saved in it. */
  const [saves, setSaves] = useState(0)

  useEffect(() => {
    const container = screen.current
    if (!container) return
    if (given === null) {
      setProblem('Choose a disk in the viewer, and boot it there.')
      return
    }
    const events = {
      onDisk: ({ dirty, failed }: V86DiskState) => {
        setDirty(dirty)
        setFault(failed ? messageOf(failed) : null)
      },
      onSerial: (text: string) => setSerial((before) => (before + text).slice(-20_000)),
    }
    const start = async () => {
      const source = await given
      try {
        setMachine(await startMachine(source, container, { memory: MEMORY, acceptChangedBase }, events))
      } catch (error) {
        if (!isQcow2Error(error) || error.code !== 'FILE_CHANGED') throw error
        setChanged(source)
      }
    }
    start().catch((error) => setProblem(messageOf(error)))
  }, [given, attempt])

  const startAgain = async (source: Source, keep: boolean) => {
    setChanged(null)
    setAccept(keep)
    try {
      if (!keep) await removeMachine(source)
      setAttempt((before) => before + 1)
    } catch (error) {
      setProblem(messageOf(error))
    }
  }

  const run = async (work: () => Promise<void>) => {
    setProblem(null)
    try {
      await work()
    } catch (error) {
      setProblem(messageOf(error))
    }
    setSaves((before) => before + 1)
  }

  return (
    <div class="frame emulator">
      <header class="top">
        <a class="button quiet square" href="../" aria-label="To the viewer" title="To the viewer">
          <Mark />
        </a>
        <div class="titles">
          <h1>{machine?.name ?? 'A machine'}</h1>
          <p class="subtitle">
            What it writes goes into an image of its own in this browser. The disk’s file stays as it is.
          </p>
        </div>
        {machine && <Controls machine={machine} dirty={dirty} run={run} />}
        <ThemeButton />
      </header>
      {changed && (
        <ChangedDisk onKeep={() => startAgain(changed, true)} onStartAnew={() => startAgain(changed, false)} />
      )}
      {problem && <Notice tone="bad">{problem}</Notice>}
      {fault && <Notice tone="warn">{fault}</Notice>}
      <main class="machine">
        <Screen container={screen} />
        {machine && (
          <div class="beside">
            <SavedMachines key={saves} machine={machine} run={run} />
            <Serial text={serial} onType={(text) => machine.emulator.serial0_send(text)} />
          </div>
        )}
      </main>
    </div>
  )
}
