import { useState } from 'preact/hooks'
import { HASH_NAMES, type Hashes, type HashName } from '../engine/protocol'
import { forgetHashes, type HashChoice, hash, hashes, hashing } from '../state/hashes'
import { isRunning } from '../state/work'
import { Dialog } from '../ui/dialog'
import { FormActions } from '../ui/form-actions'
import { Icon } from '../ui/icon'
import { TextField } from '../ui/text-field'
import { WorkShown } from '../ui/work'
import { formatSize } from '../values/size'

/** Hashes one of several things, and compares the result with a hash that the person has. */
export function HashDialog({ choices }: { choices: HashChoice[] }) {
  const [chosen, setChosen] = useState(0)
  const [names, setNames] = useState<ReadonlySet<HashName>>(new Set<HashName>(['SHA-256']))
  const [expected, setExpected] = useState('')
  const choice = choices[chosen]
  const running = isRunning(hashing.value)
  const forget = () => {
    if (!running) hashes.value = null
  }
  const onSubmit = (event: Event) => {
    event.preventDefault()
    if (choice) void hash(choice, [...names])
  }
  const toggle = (name: HashName) => {
    const next = new Set(names)
    if (!next.delete(name)) next.add(name)
    setNames(next)
    forget()
  }
  return (
    <Dialog title="Hashes" onClose={forgetHashes}>
      <form onSubmit={onSubmit}>
        <div class="new-image">
          <label for="hash-of">Of</label>
          <select
            id="hash-of"
            class="field"
            value={chosen}
            disabled={running}
            onChange={(event) => {
              setChosen(Number(event.currentTarget.value))
              forget()
            }}
          >
            {choices.map(({ label, size }, index) => (
              <option key={label} value={index}>
                {label}, {formatSize(size)}
              </option>
            ))}
          </select>
          <span id="hash-names">Algorithms</span>
          <div class="check-row" role="group" aria-labelledby="hash-names">
            {HASH_NAMES.map((name) => (
              <label key={name}>
                <input type="checkbox" checked={names.has(name)} disabled={running} onChange={() => toggle(name)} />
                {name}
              </label>
            ))}
          </div>
          <TextField id="hash-expected" label="Compare with" value={expected} onChange={setExpected} />
        </div>
        <WorkShown work={hashing.value} />
        {hashes.value && <Results results={hashes.value} expected={expected} />}
        <FormActions
          label="Calculate"
          disabled={running || names.size === 0}
          autofocus
          cancel="Close"
          onCancel={forgetHashes}
        />
      </form>
    </Dialog>
  )
}

function Results({ results, expected }: { results: Hashes; expected: string }) {
  const wanted = /[\da-f]{8,}/i.exec(expected.trim())?.[0].toLowerCase()
  const matched = HASH_NAMES.find((name) => wanted !== undefined && results[name] === wanted)
  return (
    <>
      <div role="status">
        <dl class="hashes">
          {HASH_NAMES.filter((name) => results[name]).map((name) => (
            <div key={name} data-hash={name}>
              <dt>{name}</dt>
              <dd class="mono">{results[name]}</dd>
            </div>
          ))}
        </dl>
      </div>
      {wanted && (
        <p class={`verdict ${matched ? 'good' : 'bad'}`} role="status">
          <Icon name={matched ? 'done' : 'warn'} />
          {matched ? `It is the same as the ${matched}.` : 'None of these is the hash to compare with.'}
        </p>
      )}
    </>
  )
}
