import type { Work } from './storage-lab.js'

/** Reads a whole disk over HTTP; its hash, or the code of the error. */
export const read: Work<[string, object], string> = async ({ http, isQcow2Error, Qcow2 }, url, options) => {
  try {
    const image = await Qcow2.open(http(url, { retryDelay: 1, ...options }))
    const bytes = image.sync ? image.readSync(0, image.size) : await image.read(0, image.size)
    await image.close()
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')
  } catch (error) {
    return isQcow2Error(error) ? error.code : String(error)
  }
}

/** Where images are read: what it is called, whether it is a worker, and the options of `http` there. */
export const places = [
  ['on a page', false, {}],
  ['in a worker', true, {}],
  ['in a worker, synchronously', true, { sync: true }],
] as const
