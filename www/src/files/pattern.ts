/** Whether a name fits what a person typed: it contains that, or matches it as a whole if that has `*` or `?`. */
export function fits(pattern: string): (name: string) => boolean {
  const wanted = folded(pattern.trim())
  if (!/[*?]/.test(wanted)) return (name) => folded(name).includes(wanted)
  const parts = wanted.split(/([*?]+)/).map((part) => {
    if (!/^[*?]/.test(part)) return part.replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    // One star for many: two that follow each other would try every way to share a name between them.
    return '.'.repeat(part.replaceAll('*', '').length) + (part.includes('*') ? '.*' : '')
  })
  const expression = new RegExp(`^${parts.join('')}$`, 'su')
  return (name) => expression.test(folded(name))
}

/** Without the differences that people do not see, or do not mean. */
const folded = (text: string): string => text.normalize('NFC').toLowerCase()
