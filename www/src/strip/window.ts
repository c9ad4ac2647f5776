import { signal } from '@preact/signals'

/** The part of the disk that the map shows. */
export const mapWindow = signal<{ start: number; end: number } | null>(null)
