/** A machine in v86, over an overlay that the browser keeps. */

import { blob, estimate, opfs, overlay, type Qcow2, type Storage } from 'qcow2-web'
import { type V86Disk, type V86DiskState, v86Disk } from 'qcow2-web/v86'
import { V86 } from 'v86'
import wasm from 'v86/build/v86.wasm?url'
import { nameOf, remote, type Source, useNetwork } from '../src/engine/source'
import { allow, isElsewhere, network } from '../src/network/page'

/** Debian's SeaBIOS, if the setup has put it here: neither it nor v86 is part of the package. */
const firmware = import.meta.glob<string>('./bios/*.bin', { eager: true, query: '?url', import: 'default' })
const [bios, vgaBios] = [firmware['./bios/bios.bin'], firmware['./bios/vgabios-stdvga.bin']]

/** A machine that was started. */
export interface Machine {
  readonly name: string
  readonly image: Qcow2
  readonly hda: V86Disk
  readonly emulator: V86
  /** Where the browser keeps the overlay. */
  readonly path: string
}

/** What a machine reports to its page. */
export interface MachineEvents {
  onDisk(state: V86DiskState): void
  onSerial(text: string): void
}

/** How a machine starts. */
export interface MachineOptions {
  /** In bytes. */
  readonly memory: number
  /** Starts also where the disk's file is another one than the machine was made over. */
  readonly acceptChangedBase: boolean
}

/** Starts a machine from a disk. The disk's file is not written. `screen` has a text and a canvas in it. */
export async function startMachine(
  source: Source,
  screen: HTMLElement,
  { memory, acceptChangedBase }: MachineOptions,
  { onDisk, onSerial }: MachineEvents,
): Promise<Machine> {
  if (!bios || !vgaBios)
    throw new Error('This page was built without a BIOS. Run `npm start`, which gets SeaBIOS from Debian.')
  const base = await storageOf(source)
  const path = await overlayPath(source)
  const image = await overlay(base, opfs(path, { create: true }), { worker: true, acceptChangedBase })
  try {
    const hda = v86Disk(image, { onChange: onDisk })
    const emulator = new V86({
      hda,
      memory_size: memory,
      bios: { url: bios },
      vga_bios: { url: vgaBios },
      wasm_path: wasm,
      screen: { container: screen },
      // Its sound needs a worklet from a blob, which the page's policy forbids.
      disable_speaker: true,
      autostart: true,
    })
    emulator.add_listener('serial0-output-byte', (byte) => onSerial(String.fromCharCode(byte)))
    await hda.attach(emulator)
    return { name: nameOf(source), image, hda, emulator, path }
  } catch (error) {
    await image.close()
    throw error
  }
}

/** Ends a machine; its disk is kept. */
export async function endMachine({ emulator, hda, image }: Machine): Promise<void> {
  await emulator.destroy()
  await hda.close()
  await image.close()
}

/** Ends a machine, and removes what it has written with all of its saved machines. */
export async function discardMachine(machine: Machine): Promise<void> {
  await endMachine(machine)
  await opfs.delete(machine.path)
}

/** Removes what the machine of a disk has written, and all of its saved machines, while it does not run. */
export async function removeMachine(source: Source): Promise<void> {
  await opfs.delete(await overlayPath(source))
}

/** How many bytes the overlay takes. */
export async function overlaySize({ image }: Machine): Promise<number> {
  return (await image.info()).fileSize
}

/** How much more the browser lets the page keep, if it reports that. */
export async function room(): Promise<number | null> {
  const found = await estimate()
  return found ? Math.max(0, found.quota - found.usage) : null
}

async function storageOf(source: Source): Promise<Storage> {
  if ('url' in source) {
    if (isElsewhere(source.url)) {
      useNetwork(network())
      await allow(source.url)
    }
    return remote(source.url)
  }
  return blob('path' in source ? await opfs.file(source.path) : source)
}

/** Where the overlay over a source is: at the same path the next time, and at another one for each other source. */
async function overlayPath(source: Source): Promise<string> {
  const identity =
    'url' in source
      ? source.url
      : 'path' in source
        ? `stored:${source.path}`
        : `${source.name} ${source.size} ${source.lastModified}`
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(identity)))
  const hash = Array.from(digest.subarray(0, 6), (byte) => byte.toString(16).padStart(2, '0')).join('')
  const name = nameOf(source).replace(/\.qcow2$/i, '')
  return `machines/${name.replace(/[^\w. -]/g, '_').slice(0, 60)} ${hash}.qcow2`
}
