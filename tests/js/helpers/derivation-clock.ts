import { onTestFinished, vi } from 'vitest'

/** For the rest of the test, time passes only while WebCrypto derives keys: a millisecond for so many iterations. */
export function timeByDerivation(iterationsEach: number): void {
  const { subtle } = crypto
  const derive = subtle.deriveBits.bind(subtle)
  let now = 0
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
  const derivation = vi.spyOn(subtle, 'deriveBits').mockImplementation((algorithm, key, length) => {
    now += (algorithm as Pbkdf2Params).iterations / iterationsEach
    return derive(algorithm, key, length)
  })
  onTestFinished(() => {
    clock.mockRestore()
    derivation.mockRestore()
  })
}
