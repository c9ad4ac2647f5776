/** The parts of a list `a=1,b=2`, in their order. A comma in a value is written twice; a key without a value is `on`. */
export function keyValues(text: string, implied?: string): [key: string, value: string][] {
  const parts: [string, string][] = []
  let rest = text
  while (rest !== '') {
    const match = /^((?:[^,]|,,)*)(?:,|$)/s.exec(rest)
    const part = match?.[1] ?? rest
    rest = rest.slice(part.length + 1)
    const equals = part.indexOf('=')
    const first = parts.length === 0
    if (equals >= 0) parts.push([part.slice(0, equals), part.slice(equals + 1).replaceAll(',,', ',')])
    else if (first && implied !== undefined) parts.push([implied, part.replaceAll(',,', ',')])
    else parts.push(part.startsWith('no') && part.length > 2 ? [part.slice(2), 'off'] : [part, 'on'])
  }
  return parts
}

/** True if a list of options asks for help. */
export function asksForHelp(text: string): boolean {
  return text.split(',').some((part) => part === 'help' || part === '?')
}
