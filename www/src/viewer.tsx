import { useEffect, useState } from 'preact/hooks'
import { openEmulator } from '../emulator/given'
import { CheckPanel } from './check/panel'
import { ConvertDialog } from './edit/convert'
import { Lock } from './edit/lock'
import { EditOutcome } from './edit/outcome'
import { UnlockDialog } from './edit/unlock'
import type { OpenedImage } from './engine/protocol'
import { FilesPanel } from './files/panel'
import { HexPanel } from './hex/panel'
import { KeyboardHelp } from './keyboard-help'
import { MapPanel } from './map/panel'
import { Overview } from './overview/overview'
import { SnapshotList } from './snapshots/list'
import { busy } from './state/busy'
import { checkMark } from './state/check'
import { asksToConvert, askToConvert } from './state/convert'
import { go, PANELS, type Panel, route } from './state/route'
import { disk, diskProblem, opening, origin } from './state/stage'
import { asksToUnlock } from './state/unlock'
import { DiskStrip } from './strip/strip'
import { Icon } from './ui/icon'
import { Notice } from './ui/notice'
import { OpeningNow } from './ui/opening'
import { Tabs } from './ui/tabs'
import { Top } from './ui/top'
import { formatSize } from './values/size'
import { Warnings } from './warnings'

const LABELS: Record<Panel, string> = {
  files: 'Files',
  overview: 'Overview',
  map: 'Map',
  hex: 'Bytes',
  snapshots: 'Snapshots',
  check: 'Check',
}

export function Viewer({ image }: { image: OpenedImage }) {
  const { panel } = route.value
  const shown = disk.value
  const [help, setHelp] = useState(false)
  useShortcuts(() => setHelp(true))
  if (!shown) return null
  return (
    <div class="frame">
      <Top
        name={image.name}
        subtitle={
          <>
            qcow2 {image.info.compat}, {formatSize(image.info.virtualSize)} disk in a file of{' '}
            {formatSize(image.info.fileSize)}
          </>
        }
        leaves="Close the image"
        after={
          <button
            type="button"
            class="button quiet square keyboard"
            aria-label="Keyboard shortcuts"
            title="Keyboard shortcuts (?)"
            onClick={() => setHelp(true)}
          >
            <Icon name="keyboard" />
          </button>
        }
      >
        <Lock image={image} />
        <Boot />
        <button type="button" class="button" disabled={busy.value} onClick={askToConvert}>
          Convert…
        </button>
      </Top>

      {opening.value && <OpeningNow opening={opening.value} />}
      <EditOutcome />
      <Warnings image={image} />
      {diskProblem.value && <Notice tone="bad">{diskProblem.value}</Notice>}
      <SnapshotBanner image={image} />
      <DiskStrip disk={shown} />

      <main class="panel">
        <Tabs
          label="Views of the image"
          tabs={PANELS.map((name) => ({
            name,
            label: LABELS[name],
            ...(name === 'snapshots' && { count: image.snapshots.length }),
            ...(name === 'check' && { mark: checkMark.value }),
          }))}
          selected={panel}
          onSelect={(next) => go({ panel: next }, 'push')}
        />
        <div
          class="panel"
          id={`panel-${panel}`}
          {...(panel && { role: 'tabpanel', 'aria-labelledby': `tab-${panel}` })}
        >
          {panel === null && <p class="empty">Looking at the disk…</p>}
          {panel === 'files' && <FilesPanel key={String(shown.snapshot)} name={image.name} disk={shown} />}
          {panel === 'overview' && <Overview image={image} disk={shown} />}
          {panel === 'map' && <MapPanel key={`${image.generation} ${shown.snapshot}`} image={image} disk={shown} />}
          {panel === 'hex' && <HexPanel key={image.generation} image={image} disk={shown} />}
          {panel === 'snapshots' && <SnapshotList image={image} />}
          {panel === 'check' && <CheckPanel repairable={image.notEditable === null || image.info.corrupt} />}
        </div>
      </main>
      {asksToUnlock.value && <UnlockDialog />}
      {asksToConvert.value && <ConvertDialog />}
      {help && <KeyboardHelp onClose={() => setHelp(false)} />}
    </div>
  )
}

/** Starts a machine from the disk, in a page of its own. */
function Boot() {
  const from = origin.value
  if (!from) return null
  return (
    <button
      type="button"
      class="button"
      title="Start a machine from this disk, in this browser. What it writes goes into an image of its own."
      onClick={() => openEmulator(from.source, from.address)}
    >
      Boot
    </button>
  )
}

function SnapshotBanner({ image }: { image: OpenedImage }) {
  const id = disk.value?.snapshot ?? null
  if (id === null) return null
  const snapshot = image.snapshots.find((candidate) => candidate.id === id)
  const back = (
    <button type="button" class="button small" onClick={() => go({ snapshot: null }, 'push')}>
      <Icon name="back" /> Back to the active disk
    </button>
  )
  return (
    <Notice tone="info" action={back}>
      You are looking at the snapshot <strong>{snapshot?.name || `with id ${id}`}</strong>, the disk as it was then.
    </Notice>
  )
}

/** Digits choose a panel and `?` explains the keys, unless the person is typing. */
function useShortcuts(onHelp: () => void): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return
      if (document.querySelector('dialog[open]')) return
      const panel = PANELS[Number(event.key) - 1]
      if (panel) go({ panel }, 'push')
      else if (event.key === '?') onHelp()
    }
    window.addEventListener('keydown', onKeyDown)
    return () => window.removeEventListener('keydown', onKeyDown)
  }, [])
}
