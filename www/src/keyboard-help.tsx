import { Dialog } from './ui/dialog'

const KEYS: [string[], string][] = [
  [['1', '…', '6'], 'Files, overview, map, bytes, snapshots, check'],
  [['Enter', '⌫'], 'Files: open what is selected, and go back up'],
  [['a', '…', 'z'], 'Files: the next name that begins so'],
  [['Ctrl', 'A'], 'Files: select all'],
  [['Delete'], 'Files, edited: delete what is selected'],
  [['Ctrl', 'Z'], 'Files, edited: undo'],
  [['←', '→', '↑', '↓'], 'Move in the map and in the bytes'],
  [['Enter'], 'Map: the bytes of the selected cell'],
  [['+', '−'], 'Map: zoom in and out'],
  [['0'], 'Map: the whole disk'],
  [['PgUp', 'PgDn'], 'A screen up or down'],
  [['Home', 'End'], 'Start and end of the row'],
  [['Ctrl', 'Home'], 'The first byte'],
  [['Ctrl', 'End'], 'The last byte'],
  [['g'], 'Go to an offset'],
  [['Shift', '→'], 'Bytes: select a range'],
  [['Ctrl', 'A'], 'Bytes: select all'],
  [['Ctrl', 'C'], 'Bytes: copy what is selected'],
  [['Ctrl', 'F'], 'Bytes: search'],
  [['F3'], 'Bytes: the next match, with Shift the one before'],
  [['0', '…', 'F'], 'Bytes, edited: type over the selected byte'],
  [['F2'], 'Bytes, edited: type text, or digits again'],
  [['Ctrl', 'Z'], 'Bytes, edited: undo'],
  [['Ctrl', 'Y'], 'Bytes, edited: redo'],
]

export function KeyboardHelp({ onClose }: { onClose(): void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl class="keys">
        {KEYS.map(([keys, meaning]) => (
          <>
            <dt key={`${meaning} keys`}>
              {keys.map((key) => (
                <>
                  <kbd key={key}>{key}</kbd>{' '}
                </>
              ))}
            </dt>
            <dd key={meaning}>{meaning}</dd>
          </>
        ))}
      </dl>
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  )
}
