/** What a person can do about a file that can't be opened. */

import type { Refused } from '../state/stage'
import { notQcow2 } from './other-kinds'
import { fileArgument, shellWord } from './shell-word'

export interface Advice {
  title: string
  steps: string[]
  /** A command that helps, ready to be copied. */
  command?: string
  /** Its bytes may be those of a disk. */
  mayBeRaw?: boolean
  /** The address of a file that can be had only as a whole. */
  download?: string
  /** This page can decompress it. */
  decompress?: boolean
}

/** What to do about a file that was refused. */
export function adviceFor({ failure, fileKind, inspection, name, size, url }: Refused): Advice {
  if (failure.depth) {
    return {
      title: 'A file of the backing chain can’t be opened',
      steps: [
        `The fault is not in ${name} but in the file ${failure.depth === 1 ? 'below it' : `${failure.depth} steps below it`}.`,
        'Try again, and choose the file that the image was made from, or open the image without it.',
      ],
    }
  }
  const { code } = failure
  if (url !== null && ['NO_RANGES', 'STORAGE', 'FILE_CHANGED'].includes(code)) return serverAdvice(code, url)
  if (code === 'NOT_QCOW2' || (inspection && inspection.format !== 'qcow2')) return notQcow2(fileKind, name, size)
  if (code === 'UNSUPPORTED_ENCRYPTION') {
    return {
      title: 'This image is encrypted in a way that this page does not know',
      steps: [
        'With its passphrase, QEMU makes a copy that is not encrypted; keep that copy safe, and delete it afterwards.',
      ],
      command: [
        'qemu-img convert -O qcow2 --object secret,id=key,file=PASSPHRASE_FILE --image-opts',
        shellWord(`driver=qcow2,encrypt.key-secret=key,file.filename=${name.replaceAll(',', ',,')}`),
        'open.qcow2',
      ].join(' '),
    }
  }
  if (code.startsWith('UNSUPPORTED')) {
    return {
      title: 'This image needs something that this page does not know',
      steps: ['The image may be in order. Convert it with the program that made it, leaving out what is named above.'],
      command: `qemu-img convert -O qcow2 ${fileArgument(name)} plain.qcow2`,
    }
  }
  if (code.startsWith('CORRUPT')) {
    return {
      title: 'This image is corrupt',
      steps: [
        'If the file was copied or downloaded, compare its length with the original: a cut-off copy is the commonest cause.',
        'Otherwise the check below finds what else is wrong, and repairs what it can. Or let QEMU look at a copy:',
      ],
      command: `qemu-img check -r all ${fileArgument(`copy-of-${name}`)}`,
    }
  }
  if (code === 'MISSING_DATA_FILE' || code === 'MISSING_BACKING_FILE') {
    return {
      title: 'A file that the image needs is missing',
      steps: ['Try again, and choose that file when asked for it.'],
    }
  }
  if (code === 'LOAD_FAILED' || code === 'ENGINE_FAILED') {
    return {
      title: 'The page’s engine does not work',
      steps: ['Nothing is wrong with the file. Reload the page; if that does not help, try another browser.'],
    }
  }
  return {
    title: 'The file could not be read',
    steps: ['It may have been moved, changed or deleted since it was chosen. Choose it again.'],
  }
}

function serverAdvice(code: string, url: string): Advice {
  const { host } = new URL(url)
  if (code === 'NO_RANGES') {
    return {
      title: 'The server can’t send parts of the file',
      steps: [`The page reads only what it needs of a file, and ${host} sends files as a whole. Download it first:`],
      download: url,
    }
  }
  return {
    title: 'The server did not give the file',
    steps: [
      'Compare the address with the one that you were given, and try again when you have a connection.',
      `If it opens in a tab of its own, ${host} does not permit other pages to read it (CORS): download it, and open the copy.`,
    ],
  }
}
