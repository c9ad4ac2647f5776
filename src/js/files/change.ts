import { unlessAborted } from '../base/abort.js'
import { show } from '../base/arguments.js'
import type { LongOptions } from '../base/progress.js'
import type { FilesDisk } from './disk.js'
import { FilesError } from './errors.js'
import { compiledFat } from './fat/module.js'
import type { CallParser, Session } from './session.js'
import type { VolumeInfo } from './values.js'

/** The contents of a file that is written. */
export type FileContent = Blob | Uint8Array

/** A change of a volume. */
export interface Change {
  readonly kind: 'write' | 'createDirectory' | 'delete'
  readonly path: Uint8Array
  readonly content?: FileContent
}

/** What to write for a change, in offsets of the disk. */
interface Plan {
  /** Where the contents go. */
  readonly content: readonly (readonly [offset: number, length: number])[]
  /** All of a step must be durable before the next one begins. The contents belong to the first. */
  readonly steps: readonly (readonly { readonly offset: number; readonly bytes: Uint8Array }[])[]
}

/** How many bytes are read and written in one request. */
const chunkSize = 4 << 20

/**
 * Changes a volume. Until the contents are durable, nothing refers to them, so an abort or an error up to then changes
 * nothing. What follows is short, and is not aborted.
 */
export async function changeVolume(
  session: Session,
  volume: VolumeInfo,
  change: Change,
  options: LongOptions,
): Promise<void> {
  const { content } = change
  if (content !== undefined) checkContent(content)
  const { offset: start } = volume
  if (!volume.type.startsWith('fat')) throw new FilesError('READ_ONLY', `${volume.title} volumes are read-only.`)
  if (start === undefined) throw new FilesError('READ_ONLY', 'Volumes in containers and logical volumes are read-only.')
  if (volume.problem) throw new FilesError('READ_ONLY', 'A volume that is not complete is read-only.')
  const module = await unlessAborted(compiledFat(), options.signal)
  await session.exclusive(async (call, disk) => {
    const { write, flush } = writing(disk)
    await call({ method: 'write', args: [module, start, volume.length] }, options.signal)
    const plan = await planOf(call, change, options.signal)
    try {
      if (content !== undefined) await writeContent(write, plan, content, options)
      options.signal?.throwIfAborted()
      let isDurable = plan.content.length === 0
      for (const step of plan.steps) {
        for (const { offset, bytes } of step) await write(offset, bytes)
        if (step.length > 0 || !isDurable) await flush()
        isDurable = true
      }
    } finally {
      // A parser that has ended knows nothing that is old.
      await call({ method: 'changed', args: [rangesOf(plan)] }).catch(() => {})
    }
  })
}

async function planOf(
  call: CallParser,
  { kind, path, content }: Change,
  signal: AbortSignal | undefined,
): Promise<Plan> {
  const size = content === undefined ? 0 : sizeOf(content)
  const seconds = Math.floor(Date.now() / 1000)
  return (await call({ method: 'plan', args: [kind, path, size, seconds] }, signal)) as Plan
}

function rangesOf({ content, steps }: Plan): (readonly [number, number])[] {
  const written = steps.flat().map(({ offset, bytes }) => [offset, bytes.length] as const)
  return [...content, ...written]
}

interface Writing {
  write(offset: number, bytes: Uint8Array, options?: { signal: AbortSignal | undefined }): Promise<void>
  flush(): Promise<void>
}

function writing(disk: FilesDisk): Writing {
  const { readOnly, write, flush } = disk
  if (readOnly || !write || !flush) {
    throw new FilesError('READ_ONLY', 'The disk is read-only. Open it for writing, or as a draft.')
  }
  return { write: write.bind(disk), flush: () => flush.call(disk) }
}

async function writeContent(
  write: Writing['write'],
  plan: Plan,
  content: FileContent,
  { signal, onProgress }: LongOptions,
): Promise<void> {
  const total = sizeOf(content)
  let done = 0
  for (const [offset, length] of plan.content) {
    for (let within = 0; within < length; ) {
      signal?.throwIfAborted()
      const count = Math.min(chunkSize, length - within)
      const bytes = await part(content, done, count)
      // A file that the user picked may have changed since.
      if (bytes.length !== count) throw new FilesError('INVALID', 'The content has become shorter while it was read.')
      await write(offset + within, bytes, { signal })
      within += count
      done += count
      onProgress?.({ done, total })
    }
  }
}

async function part(content: FileContent, at: number, count: number): Promise<Uint8Array> {
  if (content instanceof Uint8Array) return content.subarray(at, at + count)
  return new Uint8Array(await content.slice(at, at + count).arrayBuffer())
}

function sizeOf(content: FileContent): number {
  return content instanceof Uint8Array ? content.length : content.size
}

function checkContent(content: unknown): void {
  if (content instanceof Uint8Array || content instanceof Blob) return
  throw new FilesError('INVALID', `The content must be a Blob or a Uint8Array; it is ${show(content)}.`)
}
