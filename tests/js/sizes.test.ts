import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
// @ts-expect-error: a script of the build, which has no types
import { sizes } from '../../scripts/weigh.mjs'

it('the README states the sizes that the build measures', () => {
  const text = readFileSync(new URL('../../README.md', import.meta.url), 'utf8').replaceAll(/\s+/g, ' ')
  const { read, open, engine } = sizes()
  const reading = /read`, loads (\d+) KB gzipped.*? in (\d+) requests.*?`qcow2-web` loads (\d+) KB.*? in (\d+) requests/
  const stated = new RegExp(`${reading.source}.*? engine, (\\d+) KB`)
  const [, ...numbers] = stated.exec(text) ?? []
  const measured = [read.bytes / 1000, read.requests, open.bytes / 1000, open.requests, engine / 1000]
  expect(numbers.length).toBe(measured.length)
  numbers.forEach((number, index) => {
    // What the compiler makes differs a little from one release to the next.
    const off = Math.abs(Number(number) / (measured[index] ?? 0) - 1)
    expect(off, `${number} for ${measured[index]}`).toBeLessThan(0.03)
  })
})
