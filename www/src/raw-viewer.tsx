import { ConvertDialog } from './edit/convert'
import type { OpenedRaw } from './engine/protocol'
import { FilesPanel } from './files/panel'
import { Bytes } from './hex/panel'
import { Partitions } from './overview/partitions'
import { asksToConvert, askToConvert } from './state/convert'
import { go, type Panel, route } from './state/route'
import { opening } from './state/stage'
import { DiskStrip } from './strip/strip'
import { OpeningNow } from './ui/opening'
import { Tabs } from './ui/tabs'
import { Top } from './ui/top'
import { exactBytes, formatSize } from './values/size'

/** The views of a raw disk: it has no clusters, snapshots and tables of its own. */
const TABS: { name: Panel; label: string }[] = [
  { name: 'files', label: 'Files' },
  { name: 'overview', label: 'Partitions' },
  { name: 'hex', label: 'Bytes' },
]

/** A disk that is stored as it is. It can be looked at, and converted to an image. */
export function RawViewer({ raw }: { raw: OpenedRaw }) {
  const wanted = route.value.panel
  const panel = wanted === null || TABS.some(({ name }) => name === wanted) ? wanted : 'overview'
  return (
    <div class="frame">
      <Top
        name={raw.name}
        subtitle={
          <span title={exactBytes(raw.size)}>
            {raw.kind}, {formatSize(raw.size)}
          </span>
        }
        leaves="Close the disk"
      >
        <button type="button" class="button" onClick={askToConvert}>
          Convert…
        </button>
      </Top>
      {opening.value && <OpeningNow opening={opening.value} />}
      <DiskStrip disk={raw.disk} stored={false} />
      <main class="panel">
        <Tabs label="Views of the disk" tabs={TABS} selected={panel} onSelect={(next) => go({ panel: next }, 'push')} />
        <div
          class="panel"
          id={`panel-${panel}`}
          {...(panel && { role: 'tabpanel', 'aria-labelledby': `tab-${panel}` })}
        >
          {panel === null && <p class="empty">Looking at the disk…</p>}
          {panel === 'files' && <FilesPanel name={raw.name} disk={raw.disk} />}
          {panel === 'overview' && <Partitions disk={raw.disk} withMap={false} />}
          {panel === 'hex' && <Bytes files={[]} disk={raw.disk} file={undefined} generation={raw.generation} />}
        </div>
      </main>
      {asksToConvert.value && <ConvertDialog />}
    </div>
  )
}
