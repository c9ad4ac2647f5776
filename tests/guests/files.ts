import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { check, disk } from '../js/helpers/qemu.js'
import { partitionStart } from './shell.js'

/**
 * Checks the image, its disk's file system, and that the files `work/file1` to `work/fileN` have what was written to them.
 * The disk is as after a power failure: its journal is replayed first.
 */
export function checkFiles(image: string, count: number): void {
  check(image)
  const partition = `${image}.ext4`
  writeFileSync(partition, disk(image).subarray(partitionStart))
  // 1: the journal was replayed.
  const replayed = spawnSync('e2fsck', ['-p', partition], { encoding: 'utf8' })
  expect(replayed.status, replayed.stdout).toBeLessThan(2)
  const again = spawnSync('e2fsck', ['-f', '-n', partition], { encoding: 'utf8' })
  expect(again.status, again.stdout).toBe(0)
  for (let number = 1; number <= count; number += 1) {
    const text = execFileSync('debugfs', ['-R', `cat /work/file${number}`, partition], {
      encoding: 'utf8',
      stdio: 'pipe',
    })
    expect(text, `file${number} of ${count}`).toBe(`content ${number}\n`)
  }
}
