import { useEffect, useState } from 'preact/hooks'
import type { FileEntry, FilePath } from 'qcow2-web/files'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { Disk, VolumeAt } from '../engine/protocol'
import { textOf } from './path'

export interface Entries {
  /** What was found so far. */
  found: FileEntry[]
  done: boolean
  /** How many directories could not be searched. */
  unreadable: number
  problem: string | null
}

const NONE: Entries = { found: [], done: false, unreadable: 0, problem: null }

/** The entries of a directory; with a pattern those below it whose names fit. They arrive while the rest is read. */
export function useEntries(at: VolumeAt, directory: FilePath, pattern: string, disk: Disk): Entries {
  const [entries, setEntries] = useState(NONE)
  useEffect(() => {
    const controller = new AbortController()
    const { signal } = controller
    const add = (more: FileEntry[]) => {
      if (!signal.aborted) setEntries((before) => ({ ...before, found: [...before.found, ...more] }))
    }
    const end = (change: Partial<Entries>) => {
      if (!signal.aborted) setEntries((before) => ({ ...before, ...change, done: true }))
    }
    setEntries(NONE)
    const reading = pattern
      ? engine.findFiles(at, directory, pattern, add, signal)
      : engine.listFiles(at, directory, add, signal).then(() => 0)
    reading.then(
      (unreadable) => end({ unreadable }),
      (error) => end({ problem: messageOf(error) }),
    )
    return () => controller.abort()
  }, [at.snapshot, at.volume, typeof directory, textOf(directory), pattern, disk])
  return entries
}
