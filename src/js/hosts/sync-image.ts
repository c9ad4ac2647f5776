import { withMethods } from '../base/arguments.js'
import { type Qcow2, Qcow2Error } from '../index.js'

/**
 * Returns `image` if a program that does not wait can read it.
 *
 * @param program the beginning of the error's sentence: the program and its verb, such as `DOSBox reads`.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` for what is no image; `NOT_SYNC` for one that cannot be read without waiting.
 */
export function syncImage(image: Qcow2, program: string): Qcow2 {
  withMethods(image, ['readIntoSync', 'writeSync', 'flushSync'], 'The image')
  if (image.sync) return image
  const remedy = 'Open the image in its worker, over a storage that is synchronous there, such as opfs().'
  throw new Qcow2Error('NOT_SYNC', `${program} without waiting. ${remedy}`)
}
