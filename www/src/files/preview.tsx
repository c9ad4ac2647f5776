import type { ComponentChildren, RefObject } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { FileEntry } from 'qcow2-web/files'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { VolumeAt } from '../engine/protocol'
import { askToHash } from '../state/hashes'
import { Size } from '../ui/size'
import { Content } from './content'
import { kindWords, modeWords, shortDate } from './words'

interface Props {
  focus: RefObject<HTMLElement | null>
  at: VolumeAt
  entry: FileEntry
  onOpen(): void
  /** Leads to the directory that the entry is in, where that is not shown already. */
  onReveal?(): void
}

/** What is known of a file, and what is in it. */
export function Preview({ focus, at, entry, onOpen, onReveal }: Props) {
  const { name, kind, size, modified, created, mode, uid, gid, links, problem } = entry
  const target = useTarget(at, entry)
  return (
    <div class="preview-box">
      <section class="preview" ref={focus} tabIndex={-1} aria-labelledby="preview-title">
        <h2 id="preview-title">
          <bdi>{name}</bdi>
        </h2>
        <dl class="facts">
          <Fact name="Kind">{kindWords(entry)}</Fact>
          {kind === 'file' && (
            <Fact name="Size">
              <Size bytes={size} />
            </Fact>
          )}
          {target !== null && (
            <Fact name="Leads to">
              <code>{target}</code>
            </Fact>
          )}
          {modified !== undefined && <Fact name="Modified">{shortDate(modified)}</Fact>}
          {created !== undefined && <Fact name="Created">{shortDate(created)}</Fact>}
          {mode !== undefined && (
            <Fact name="Permissions">
              <code>{modeWords(mode)}</code>
            </Fact>
          )}
          {uid !== undefined && gid !== undefined && (
            <Fact name="Owner">
              user {uid}, group {gid}
            </Fact>
          )}
          {links !== undefined && links > 1 && kind === 'file' && <Fact name="Names">{links}</Fact>}
        </dl>
        <div class="row-actions">
          {kind === 'directory' && (
            <button type="button" class="button small" onClick={onOpen}>
              Open
            </button>
          )}
          {kind === 'file' && !problem && (
            <button
              type="button"
              class="button small"
              onClick={() => askToHash([{ label: name, size, hashed: { of: 'file', at, path: entry.path } }])}
            >
              Hashes…
            </button>
          )}
          {onReveal && (
            <button type="button" class="button small" onClick={onReveal}>
              Show in its folder
            </button>
          )}
        </div>
        {problem && <p class="bad-text">{problem}</p>}
        {(kind === 'file' || kind === 'link') && !problem && <Content at={at} entry={entry} />}
      </section>
    </div>
  )
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

/** Where a symbolic link leads; `null` for anything else. */
function useTarget(at: VolumeAt, { kind, path }: FileEntry): string | null {
  const [target, setTarget] = useState<string | null>(null)
  useEffect(() => {
    if (kind !== 'link') return
    const controller = new AbortController()
    engine.readLink(at, path, controller.signal).then(setTarget, (error) => {
      if (!controller.signal.aborted) setTarget(messageOf(error))
    })
    return () => controller.abort()
  }, [])
  return target
}
