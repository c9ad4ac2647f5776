/** What to do about files that are no qcow2 images. */

import { type FileKind, isCompression } from '../engine/file-kind'
import type { Advice } from './advice'
import { fileArgument } from './shell-word'

/** The images that QEMU converts, by the name that it has for each format. */
const CONVERTIBLE: Partial<Record<FileKind, [format: string, title: string]>> = {
  vmdk: ['vmdk', 'a VMDK image, as VMware makes them'],
  vdi: ['vdi', 'a VDI image, as VirtualBox makes them'],
  vhdx: ['vhdx', 'a VHDX image, as Hyper-V makes them'],
  vhd: ['vpc', 'a VHD image, as Hyper-V and VirtualBox make them'],
  'vhd-fixed': ['vpc', 'a fixed VHD image: a raw disk with a sector after it'],
  qed: ['qed', 'a QED image'],
  qcow1: ['qcow', 'an image of qcow version 1'],
  parallels: ['parallels', 'a Parallels image'],
  dmg: ['dmg', 'a DMG image, as macOS makes them'],
}

/** What decompresses a compressed file. */
const COMPRESSED: Partial<Record<FileKind, [title: string, program: string]>> = {
  gzip: ['compressed by gzip', 'gunzip -k'],
  bzip2: ['compressed by bzip2', 'bunzip2 -k'],
  xz: ['compressed by xz', 'unxz -k'],
  zstd: ['compressed by zstd', 'unzstd'],
  lz4: ['compressed by lz4', 'unlz4 -k'],
  zip: ['a zip archive', 'unzip'],
  '7z': ['a 7z archive', '7z x'],
  rar: ['a RAR archive', 'unrar x'],
  tar: ['a tar archive', 'tar -xf'],
}

export function notQcow2(kind: FileKind | null, name: string, size: number): Advice {
  if (size === 0) {
    return {
      title: 'This file is empty',
      steps: ['If it was downloaded, the download may have failed; fetch it again.'],
    }
  }
  const [format, title] = (kind && CONVERTIBLE[kind]) ?? []
  if (format) {
    return {
      title: `This is ${title}`,
      steps: ['QEMU can convert it:'],
      command: `qemu-img convert -f ${format} -O qcow2 ${fileArgument(name)} ${fileArgument(converted(name))}`,
      mayBeRaw: kind === 'vhd-fixed',
    }
  }
  const [compressed, program] = (kind && COMPRESSED[kind]) ?? []
  if (compressed && isCompression(kind)) {
    return {
      title: `This file is ${compressed}`,
      steps: [
        'This page can decompress it. The browser keeps what is in it, and opens that. Or decompress it yourself:',
      ],
      command: `${program} ${fileArgument(name)}`,
      decompress: true,
    }
  }
  if (compressed) {
    return {
      title: `This is no image: it is ${compressed}`,
      steps: ['Decompress it first, and open what is inside.'],
      command: `${program} ${fileArgument(name)}`,
    }
  }
  return (kind && special(kind, name)) || unknown(name)
}

function special(kind: FileKind, name: string): Advice | null {
  if (kind === 'ova') {
    return {
      title: 'This is an OVA: a whole machine in a tar archive',
      steps: ['Extract it, and let QEMU convert the disk inside, which is most often a VMDK:'],
      command: `tar -xf ${fileArgument(name)}\nqemu-img convert -O qcow2 DISK.vmdk ${fileArgument(converted(name))}`,
    }
  }
  if (kind === 'vmdk-descriptor') {
    return {
      title: 'This file only describes a VMDK image',
      steps: ['The disk is in the files that it names. QEMU can convert them, with this file in the same folder:'],
      command: `qemu-img convert -f vmdk -O qcow2 ${fileArgument(name)} ${fileArgument(converted(name))}`,
    }
  }
  if (kind === 'html') {
    return {
      title: 'This is a web page, not an image',
      steps: [
        'The server has sent a page instead of the file, for instance to sign in or to confirm the download.',
        'Open the address in a tab of its own, and download the file from there.',
      ],
    }
  }
  if (kind === 'lfs-pointer') {
    return {
      title: 'This file only points to an image in Git LFS',
      steps: ['The repository was fetched without its large files. Fetch them:'],
      command: `git lfs pull --include ${fileArgument(name)}`,
    }
  }
  return null
}

const unknown = (name: string): Advice => ({
  title: 'This is not a qcow2 image',
  steps: [
    'It does not begin as an image does, nor as anything else that this page knows. Its bytes are shown below.',
    'If it is a raw disk, open it as one, or let QEMU convert it:',
  ],
  command: `qemu-img convert -f raw -O qcow2 ${fileArgument(name)} ${fileArgument(converted(name))}`,
  mayBeRaw: true,
})

/** The name that a converted file would have. */
const converted = (name: string) => `${name.replace(/\.[^.]*$/, '')}.qcow2`
