import { useEffect, useState } from 'preact/hooks'
import { type Estimate, estimate } from 'qcow2-web'
import { engine } from '../engine/client'
import type { Part } from '../engine/protocol'
import { CONVERSIONS, type ConversionName } from '../state/convert'
import { disk } from '../state/stage'
import { Icon } from '../ui/icon'
import { formatSize } from '../values/size'

interface Props {
  name: ConversionName
  part: Part
  /** Whether it goes into the browser's storage, which has a limit. */
  inBrowser: boolean
}

/** Shows how large the result will be, and whether the browser has room for it. */
export function ExpectedSize({ name, part, inBrowser }: Props) {
  const how = CONVERSIONS[name].how
  const size = useMeasured(how.format, part)
  const [room, setRoom] = useState<Estimate | undefined>()
  useEffect(() => void estimate().then(setRoom), [])
  if (size === null) return <p class="soft expected">Measuring…</p>
  const compressed = 'compressed' in how
  const free = room && room.quota - room.usage
  const lacks = inBrowser && free !== undefined && free < size
  return (
    <p class={`expected ${lacks ? 'lacks' : ''}`} role="status">
      {lacks && <Icon name="warn" />}
      <span>
        It takes {compressed ? 'at most ' : ''}
        <b>{formatSize(size)}</b>
        {compressed && ', less as far as it can be compressed'}.
        {inBrowser && free !== undefined && (
          <>
            {' '}
            The browser has room for {formatSize(free)}
            {lacks && (compressed ? ', which may not be enough' : ', which is not enough')}.
          </>
        )}
      </span>
    </p>
  )
}

function useMeasured(format: 'qcow2' | 'raw', { start, end }: Part): number | null {
  const [size, setSize] = useState<number | null>(null)
  const snapshot = disk.value?.snapshot ?? null
  useEffect(() => {
    const controller = new AbortController()
    const range = { offset: start, length: end - start }
    engine.measure(snapshot, { format, range }, controller.signal).then(
      (bytes) => !controller.signal.aborted && setSize(bytes),
      // Corrupt tables can't be measured. Converting reports what is wrong with them.
      () => !controller.signal.aborted && setSize(end - start),
    )
    return () => controller.abort()
  }, [format, start, end, snapshot])
  return size
}
