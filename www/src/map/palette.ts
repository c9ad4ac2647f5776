import { KINDS, type Kind } from '../engine/protocol'

export type Palette = Record<Kind | 'ink' | 'accent' | 'surface', string>

/**
 * The style sheet's colours as a canvas takes them. A custom property answers with its `light-dark()` unresolved, so
 * each is read through a real property of an element.
 */
export function readPalette(near: Element): Palette {
  const probe = document.createElement('i')
  probe.hidden = true
  near.parentElement?.append(probe)
  const read = (name: string) => {
    probe.style.color = `var(--${name})`
    return getComputedStyle(probe).color
  }
  const palette = {} as Palette
  for (const kind of KINDS) palette[kind] = read(`kind-${kind}`)
  for (const name of ['ink', 'accent', 'surface'] as const) palette[name] = read(name)
  probe.remove()
  return palette
}
