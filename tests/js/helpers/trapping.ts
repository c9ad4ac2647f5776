/** The module with one of its exported functions made to trap, as a defect of the engine would. */
export function trapping(module: Buffer, name: string): Buffer {
  const broken = Buffer.from(module)
  let at = 8
  const number = () => {
    let [value, shift] = [0, 0]
    for (;;) {
      const byte = broken[at++] ?? 0
      value += (byte & 0x7f) * 2 ** shift
      shift += 7
      if (byte < 0x80) return value
    }
  }
  let imported = 0
  let wanted = -1
  while (at < broken.length) {
    const kind = broken[at++]
    const length = number()
    const end = at + length
    if (kind === 2) {
      for (let left = number(); left > 0; left -= 1) {
        // The names of the module and of the function; the length is read first, which moves on too.
        for (let part = 0; part < 2; part += 1) {
          const size = number()
          at += size
        }
        if (broken[at++] !== 0) throw new Error('Only functions are imported.')
        number()
        imported += 1
      }
    } else if (kind === 7) {
      for (let left = number(); left > 0; left -= 1) {
        const size = number()
        const found = broken.toString('utf8', at, at + size)
        at += size + 1
        const index = number()
        if (found === name) wanted = index - imported
      }
    } else if (kind === 10) {
      const count = number()
      for (let index = 0; index < count; index += 1) {
        const size = number()
        // No locals, `unreachable`, and up to the end what is never reached.
        if (index === wanted) broken.fill(0x01, at, at + size - 1).fill(0, at, at + 2)
        at += size
      }
    }
    at = end
  }
  if (wanted < 0) throw new Error(`The module exports no ${name}.`)
  return broken
}
