/** Opening an image with the files and the passphrases that it needs. */

import { isQcow2Error, Qcow2, type WritableStorage } from 'qcow2-web'
import type { Supplies } from './supplies'

/**
 * Opens the image; for writing to `writable`, if that is given. Begins again each time a data file turns out to be missing, or
 * a passphrase to be wrong.
 */
export async function openWithFiles(
  supplies: Supplies,
  writable: WritableStorage | null,
  signal: AbortSignal | undefined,
): Promise<Qcow2> {
  for (;;) {
    const dataFile = supplies.dataFile(0)
    try {
      return await Qcow2.open(writable ?? supplies.image.storage, {
        backing: supplies.backing,
        passphrase: supplies.passphrase,
        writable: writable !== null,
        signal,
        ...(dataFile && { dataFile }),
      })
    } catch (error) {
      if (!isQcow2Error(error)) throw error
      if (error.code === 'WRONG_PASSPHRASE') {
        supplies.refusePassphrase(error.depth ?? 0)
        continue
      }
      if (error.code !== 'MISSING_DATA_FILE') throw error
      const asked = await supplies.askForData(error.depth ?? 0, error.file?.name ?? '')
      if (!asked) throw error
    }
  }
}
