import { readFileSync } from 'node:fs'
import { afterAll, beforeAll } from 'vitest'
import { StorageLab } from '../browser/storage-lab.js'
import { convert } from '../js/helpers/qemu.js'
import { FileServer } from '../js/helpers/server.js'
import { serveV86 } from './page.js'
import { guestDisk, readGuest } from './shell.js'

/** How long a test of a guest may take, in milliseconds. A busy machine is slow. */
export const hours = 3_600_000

/** How the disk of the guest is stored in its image. */
export interface GuestImage {
  readonly compressed?: boolean
  /** More data, which the guest does not read while it boots. */
  readonly behind?: Uint8Array
}

/**
 * Starts a browser with v86 before the tests of a file, and a server of another origin that has the guest's image; both end
 * behind them. The lab has the image as `/linux.qcow2`, and the disk without what is behind it as `/linux.raw`.
 */
export function useGuestLab({ compressed = false, behind = new Uint8Array() }: GuestImage = {}) {
  const lab = new StorageLab()
  let server: FileServer
  beforeAll(async () => {
    serveV86(lab)
    const disk = Buffer.concat([readGuest(), behind])
    const image = convert('linux.qcow2', disk, ...(compressed ? ['-c'] : []))
    lab.beside.set('/linux.raw', guestDisk)
    lab.beside.set('/linux.qcow2', image)
    server = await new FileServer(readFileSync(image)).start()
    server.exposed = 'ETag, Content-Range'
    await lab.start()
  }, hours)
  afterAll(async () => {
    server.stop()
    await lab.stop()
  })
  return {
    lab,
    get server(): FileServer {
      return server
    },
  }
}
