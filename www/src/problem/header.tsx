/** The header's fields as they are stored, sound or not. */
export function Header({ header }: { header: object }) {
  return (
    <details class="card">
      <summary>The header’s fields</summary>
      <dl class="facts">
        {Object.entries(header).map(([field, value]) => (
          <div key={field}>
            <dt>{words(field)}</dt>
            <dd class="mono">{show(value)}</dd>
          </div>
        ))}
      </dl>
    </details>
  )
}

/** "l1TableOffset" as "l1 table offset". */
const words = (field: string) => field.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`)

function show(value: unknown): string {
  if (typeof value === 'bigint' || typeof value === 'number') {
    const number = BigInt(value)
    return number > 9n ? `${number.toLocaleString('en')} (0x${number.toString(16)})` : String(number)
  }
  return String(value ?? 'absent')
}
