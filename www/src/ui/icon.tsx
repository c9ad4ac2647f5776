/** The page's icons, drawn on a grid of 16 with one stroke width. Always beside words, so hidden from assistive tools. */

const PATHS = {
  lock: 'M4.5 7V5a3.5 3.5 0 0 1 7 0v2M3.5 7h9a.5.5 0 0 1 .5.5v5.5a.5.5 0 0 1-.5.5h-9a.5.5 0 0 1-.5-.5V7.5a.5.5 0 0 1 .5-.5Z',
  unlock:
    'M4.5 7V4.7a3.4 3.4 0 0 1 6.6-1.1M3.5 7h9a.5.5 0 0 1 .5.5v5.5a.5.5 0 0 1-.5.5h-9a.5.5 0 0 1-.5-.5V7.5a.5.5 0 0 1 .5-.5Z',
  edit: 'M2.5 13.5l.7-3 7.6-7.6a1.2 1.2 0 0 1 1.7 0l.6.6a1.2 1.2 0 0 1 0 1.7l-7.6 7.6-3 .7ZM9.6 4.1l2.3 2.3',
  save: 'M2.5 2.5h8.5l2.5 2.5v8.5h-11v-11ZM5 2.8v3.4h5V2.8M4.8 13.3V9h6.4v4.3',
  download: 'M8 2v8M4.8 7 8 10.2 11.2 7M2.5 13.5h11',
  undo: 'M6 3 2.8 6.2 6 9.4M3 6.2h6.2a3.6 3.6 0 0 1 0 7.2H6',
  redo: 'M10 3l3.2 3.2L10 9.4M13 6.2H6.8a3.6 3.6 0 0 0 0 7.2H10',
  folder: 'M2 12.5v-9h4l1.5 2H14v7H2Z',
  file: 'M4 1.8h5l3 3v9.4H4V1.8ZM8.8 2v3h3',
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.3 10.3l3.4 3.4',
  drive: 'M2 9.5 4 3h8l2 6.5v3.5H2V9.5ZM2 9.5h12M11.2 11.3h.01',
  sparkle: 'M8 2v4M8 10v4M2 8h4M10 8h4',
  sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3.05 3.05l1.06 1.06M11.9 11.9l1.05 1.05M12.95 3.05 11.9 4.1M4.1 11.9l-1.05 1.05',
  moon: 'M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1Z',
  system: 'M2 3h12v8H2V3ZM6 14h4M8 11v3',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  whole: 'M2.5 6v-3.5h3.5M10 2.5h3.5v3.5M13.5 10v3.5H10M6 13.5H2.5V10',
  info: 'M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM8 7.2v4M8 4.6v.6',
  warn: 'M8 2 14.5 13.5h-13L8 2ZM8 6.5v3.2M8 11.4v.4',
  camera: 'M2 4.5h3l1-1.5h4l1 1.5h3v8H2v-8ZM8 6.2a2.3 2.3 0 1 0 0 4.6 2.3 2.3 0 0 0 0-4.6Z',
  link: 'M6.5 9.5l3-3M7 4.5l1.2-1.2a3.2 3.2 0 0 1 4.5 4.5L11.5 9M9 11.5l-1.2 1.2a3.2 3.2 0 0 1-4.5-4.5L4.5 7',
  right: 'M6 3.5 10.5 8 6 12.5',
  done: 'M3 8.5l3.2 3.2L13 5',
  up: 'M3.5 10 8 5.5 12.5 10',
  down: 'M3.5 6 8 10.5 12.5 6',
  back: 'M13.5 8h-11M6.5 4 2.5 8l4 4',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  keyboard: 'M1.5 4h13v8.5h-13V4ZM4 6.8h.01M6.7 6.8h.01M9.3 6.8h.01M12 6.8h.01M5 10h6',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path
        d={PATHS[name]}
        fill="none"
        stroke="currentColor"
        stroke-width="1.4"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  )
}

/** The page's mark, the same as icon.svg. */
export function Mark() {
  const cells = [
    'data',
    'data',
    'unallocated',
    'data',
    'compressed',
    'unallocated',
    'unallocated',
    'compressed',
    'data',
  ]
  return (
    <svg class="mark" viewBox="0 0 29 29" aria-hidden="true">
      {cells.map((kind, index) => (
        <rect
          key={index}
          class={kind === 'unallocated' ? 'fill-zero' : `fill-${kind}`}
          x={1 + 9 * (index % 3)}
          y={1 + 9 * Math.floor(index / 3)}
          width="8"
          height="8"
          rx="2"
        />
      ))}
    </svg>
  )
}
