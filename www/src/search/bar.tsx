import type { RefObject } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { ByteSource } from '../engine/protocol'
import { changeQuery, endSearch, query, searching, searchOn } from '../state/search'
import { forgetWork, isRunning } from '../state/work'
import { Icon } from '../ui/icon'
import { formatShare } from '../values/size'
import type { NeedleKind } from './needle'

const KINDS: Record<NeedleKind, string> = {
  text: 'Text',
  'utf-8': 'Text, UTF-8',
  'utf-16le': 'Text, UTF-16',
  'utf-16be': 'Text, UTF-16 BE',
  hex: 'Hex bytes',
}

interface Props {
  source: ByteSource
  /** Where the focus returns to. */
  view: RefObject<HTMLElement | null>
}

/** Searches the bytes: Enter goes to the next match, with Shift to the one before, Escape closes. */
export function SearchBar({ source, view }: Props) {
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => {
    field.current?.focus()
    field.current?.select()
    return endSearch
  }, [])
  // What was found in other bytes is elsewhere.
  useEffect(() => () => forgetWork(searching), [JSON.stringify(source)])
  const { typed, kind, matchCase } = query.value
  const search = (backwards: boolean) => void searchOn(source, backwards)
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Escape') return
    event.preventDefault()
    endSearch()
    view.current?.focus()
  }
  const onFieldKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter') return
    event.preventDefault()
    search(event.shiftKey)
  }
  return (
    <div class="byte-search" role="search" aria-label="Search the bytes" onKeyDown={onKeyDown}>
      <div class="toolbar">
        <input
          ref={field}
          type="search"
          class="field mono"
          aria-label={kind === 'hex' ? 'Bytes to search for' : 'Text to search for'}
          placeholder={kind === 'hex' ? '51 46 49 fb, ?? is any' : 'Search'}
          value={typed}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => changeQuery({ typed: event.currentTarget.value })}
          onKeyDown={onFieldKeyDown}
        />
        <select
          class="field"
          aria-label="What is searched for"
          title="Text is searched for in UTF-8 and UTF-16"
          value={kind}
          onChange={(event) => changeQuery({ kind: event.currentTarget.value as NeedleKind })}
        >
          {Object.entries(KINDS).map(([each, label]) => (
            <option key={each} value={each}>
              {label}
            </option>
          ))}
        </select>
        <div class="joined">
          <button
            type="button"
            class="button square"
            aria-label="Previous match"
            title="The match before (Shift+Enter)"
            disabled={typed === ''}
            onClick={() => search(true)}
          >
            <Icon name="up" />
          </button>
          <button
            type="button"
            class="button square"
            aria-label="Next match"
            title="The next match (Enter)"
            disabled={typed === ''}
            onClick={() => search(false)}
          >
            <Icon name="down" />
          </button>
        </div>
        <button
          type="button"
          class="button quiet square"
          aria-label="Close the search"
          title="Close the search (Escape)"
          onClick={() => {
            endSearch()
            view.current?.focus()
          }}
        >
          <Icon name="close" />
        </button>
      </div>
      <div class="toolbar">
        {kind !== 'hex' && (
          <label class="check-label">
            <input
              type="checkbox"
              checked={matchCase}
              onChange={(event) => changeQuery({ matchCase: event.currentTarget.checked })}
            />
            Match case
          </label>
        )}
        <Outcome />
      </div>
    </div>
  )
}

/** How far the search has come, or what came of it. */
function Outcome() {
  const now = searching.value
  if (isRunning(now)) {
    const { progress, cancel } = now
    return (
      <div class="progress" role="status">
        <progress value={progress?.done ?? 0} max={progress?.total || 1} aria-label="Searching" />
        Searching… {progress && formatShare(progress.done, progress.total)}
        <button type="button" class="button small" onClick={cancel}>
          Cancel
        </button>
      </div>
    )
  }
  const failed = now !== null && 'problem' in now
  return (
    <p class={failed ? 'bad-text' : 'soft'} role={failed ? 'alert' : 'status'}>
      {now === null
        ? 'Searches what is stored. What is not allocated is skipped.'
        : 'problem' in now
          ? now.problem
          : now.outcome}
    </p>
  )
}
