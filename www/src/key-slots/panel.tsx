import type { LuksInfo } from 'qcow2-web'
import { Locked } from '../edit/locked'
import type { OpenedImage } from '../engine/protocol'
import { busy } from '../state/busy'
import { askedOfKeySlots, askOfKeySlots, keySlotWork } from '../state/key-slots'
import { WorkShown } from '../ui/work'
import { formatCount } from '../values/size'
import { EraseDialog } from './erase'
import { PassphraseDialog } from './passphrase'

/** The slots of LUKS, each with a passphrase that opens the image. They can be changed while it is edited. */
export function KeySlots({ image, luks }: { image: OpenedImage; luks: LuksInfo }) {
  const active = luks.keySlots.filter((slot) => slot.active).length
  const asked = askedOfKeySlots.value
  return (
    <section class="card key-slots" aria-labelledby="key-slots-title">
      <div class="toolbar">
        <h2 id="key-slots-title">Key slots</h2>
        <span class="spacer" />
        {image.editing && (
          <>
            <button
              type="button"
              class="button small"
              aria-label="Change a passphrase"
              disabled={busy.value}
              onClick={() => askOfKeySlots({ kind: 'change' })}
            >
              Change…
            </button>
            <button
              type="button"
              class="button small"
              aria-label="Add a passphrase"
              disabled={active === luks.keySlots.length || busy.value}
              title={active === luks.keySlots.length ? 'All slots are in use: erase one first' : undefined}
              onClick={() => askOfKeySlots({ kind: 'add' })}
            >
              Add…
            </button>
          </>
        )}
      </div>
      {!image.editing && <Locked image={image}>Edit the image to add, change or erase passphrases.</Locked>}
      {!asked && <WorkShown work={keySlotWork.value} />}
      <div class="wide-table">
        <table class="list">
          <caption class="visually-hidden">Key slots</caption>
          <tbody>
            {luks.keySlots.map((slot, index) => (
              <tr key={index}>
                <th scope="row">Slot {index}</th>
                <td class={slot.active ? '' : 'soft'}>{slot.active ? 'a passphrase opens it' : 'empty'}</td>
                <td class="end soft">{slot.active && `${formatCount(slot.iterations)} iterations`}</td>
                {image.editing && (
                  <td class="end">
                    {slot.active && (
                      <button
                        type="button"
                        class="button small"
                        aria-label={`Erase slot ${index}`}
                        disabled={busy.value}
                        onClick={() => askOfKeySlots({ kind: 'erase', slot: index, last: active === 1 })}
                      >
                        Erase…
                      </button>
                    )}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {asked?.kind === 'erase' && <EraseDialog {...asked} />}
      {asked && asked.kind !== 'erase' && <PassphraseDialog kind={asked.kind} />}
    </section>
  )
}
