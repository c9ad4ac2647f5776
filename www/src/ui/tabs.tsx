import { useRef } from 'preact/hooks'
import { Icon } from './icon'

interface Tab<Name extends string> {
  name: Name
  label: string
  count?: number
  /** What is known of it, by a mark and in words. */
  mark?: { tone: 'good' | 'bad'; words: string } | undefined
}

interface Props<Name extends string> {
  label: string
  tabs: Tab<Name>[]
  /** `null` while none is. */
  selected: Name | null
  onSelect(name: Name): void
}

/** Tabs as the ARIA practices have them: one stop for Tab, arrows to move between them. */
export function Tabs<Name extends string>({ label, tabs, selected, onSelect }: Props<Name>) {
  const list = useRef<HTMLDivElement>(null)
  const select = (index: number) => {
    const tab = tabs[(index + tabs.length) % tabs.length]
    if (!tab) return
    onSelect(tab.name)
    list.current?.querySelector<HTMLElement>(`#tab-${tab.name}`)?.focus()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const at = tabs.findIndex((tab) => tab.name === selected)
    const moves: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }
    const to = moves[event.key]
    if (to === undefined) return
    event.preventDefault()
    select(to)
  }
  return (
    <div class="tabs" role="tablist" aria-label={label} ref={list} onKeyDown={onKeyDown}>
      {tabs.map((tab) => (
        <button
          key={tab.name}
          id={`tab-${tab.name}`}
          class="tab"
          type="button"
          role="tab"
          aria-selected={tab.name === selected}
          aria-controls={tab.name === selected ? `panel-${tab.name}` : undefined}
          tabIndex={tab.name === (selected ?? tabs[0]?.name) ? 0 : -1}
          onClick={() => onSelect(tab.name)}
        >
          {tab.label} {tab.count !== undefined && <span class="count">{tab.count}</span>}
          {tab.mark && (
            <span class={`mark-of ${tab.mark.tone}`} title={tab.mark.words}>
              <Icon name={tab.mark.tone === 'good' ? 'done' : 'warn'} />
              <span class="visually-hidden">{tab.mark.words}</span>
            </span>
          )}
        </button>
      ))}
    </div>
  )
}
