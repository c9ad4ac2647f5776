/** Texts about volumes and files. */

import type { FileEntry, VolumeInfo } from 'qcow2-web/files'

const UNLOCK = 'It is encrypted. Unlock it by its passphrase to get at its files.'

const ADVICE: Record<string, string> = {
  luks1: UNLOCK,
  luks2: UNLOCK,
  bitlocker:
    'It is encrypted, and this page cannot unlock it. Unlock it on a computer with Windows or dislocker to get at its files.',
  lvm2: 'It is a part of a group of logical volumes: their files are in the volumes that are listed beside it.',
  swap: 'It is swap space, which a machine uses as memory. It holds no files.',
  raid: 'It is one disk of an array. Its files can be read only where all disks of the array are together.',
  'ext-journal': 'It is the journal of a file system on another disk, and holds no files.',
  unknown: 'No file system that this page knows was found here. It may be empty, encrypted, or of an unusual kind.',
}

/** Why a volume's files cannot be listed; `null` if they can be. */
export function whyNoFiles({ type, title, supported, problem, container }: VolumeInfo): string | null {
  if (supported) return null
  const known = ADVICE[type]
  if (known) return [problem && sentence(problem), known].filter(Boolean).join(' ')
  // A corrupt one may have readable files all the same.
  if (problem && !container) return null
  return `${title} file systems are recognised, but this page cannot read their files.`
}

/** Whether the files of a volume could be changed if its disk could be. */
export const takesChanges = ({ type, offset, problem }: VolumeInfo): boolean =>
  type.startsWith('fat') && offset !== undefined && !problem

/** What people call a volume. */
export function volumeName({ label, partition, id, type }: VolumeInfo): string {
  if (label) return label
  if (partition) return partition.name || `Partition ${partition.number}`
  return id === 'disk' ? (type === 'unknown' ? 'The disk' : 'Whole disk') : id
}

export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}

const KINDS = { file: 'File', directory: 'Folder', link: 'Link', other: 'Device, pipe or socket' } as const

export const kindWords = ({ kind }: Pick<FileEntry, 'kind'>): string => KINDS[kind]

/** "rwxr-x---", with the letters of the special bits. */
export function modeWords(mode: number): string {
  const letters = [...'rwxrwxrwx'].map((letter, index) => (mode & (0o400 >> index) ? letter : '-'))
  const special = (bit: number, index: number, letter: string) => {
    if (mode & bit) letters[index] = letters[index] === 'x' ? letter : letter.toUpperCase()
  }
  special(0o4000, 2, 's')
  special(0o2000, 5, 's')
  special(0o1000, 8, 't')
  return letters.join('')
}

const dates = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })

/** "14 Mar 2026, 09:26", in the reader's own time zone. */
export const shortDate = (milliseconds: number): string =>
  // A corrupt file system may record what is no date.
  Math.abs(milliseconds) > 8.64e15 ? '' : dates.format(new Date(milliseconds))
