import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { amend, check, memory, nodeFile, Qcow2, type Qcow2Error, repair } from '../../src/js/index.js'
import { contents, difference, file, qemuImg } from './helpers/qemu.js'
import {
  checkEncrypted,
  createEncrypted,
  decrypted,
  ioEncrypted,
  luks,
  passphrase,
  snapshotEncrypted,
} from './helpers/secret.js'

const MiB = 2 ** 20

const storage = (name: string) => nodeFile(file(name))
const open = (name: string) => Qcow2.open(storage(name), { passphrase, writable: true })

/** What an image does in its life, it does encrypted, and QEMU goes along. */
describe.each([luks, 'encrypt.format=aes'])('%s', (format) => {
  it('snapshots', async () => {
    createEncrypted('disk', format)
    const [first, second] = [contents(300_000, 1), contents(300_000, 2)]
    const image = await open('disk')
    await image.write(1000, first)
    await image.snapshots.create('first', { vmState: first })
    await image.write(1000, second)
    const view = await image.snapshots.open('first')
    expect(difference(await view.read(1000, first.length), first)).toBe(-1)
    expect(difference(await view.vmState.read(0, first.length), first)).toBe(-1)
    await view.close()
    await image.close()
    checkEncrypted('disk')
    expect(difference(decrypted('disk').subarray(1000, 1000 + second.length), second)).toBe(-1)
    snapshotEncrypted('disk', '-a', 'first')
    expect(difference(decrypted('disk').subarray(1000, 1000 + first.length), first)).toBe(-1)
    snapshotEncrypted('disk', '-c', 'theirs')
    ioEncrypted('disk', ['write -q -P 9 0 1M'])
    const again = await open('disk')
    await again.snapshots.apply('theirs')
    expect(difference(await again.read(1000, first.length), first)).toBe(-1)
    await again.snapshots.delete('theirs')
    await again.snapshots.delete('first')
    await again.close()
    checkEncrypted('disk')
    expect(difference(decrypted('disk').subarray(1000, 1000 + first.length), first)).toBe(-1)
  })

  it.each(['off', 'metadata', 'full'] as const)('another size, preallocated: %s', async (preallocation) => {
    createEncrypted('disk', format)
    ioEncrypted('disk', ['write -q -P 5 0 1M'])
    const image = await open('disk')
    await image.resize(3 * MiB, { preallocation })
    await image.write(2 * MiB + 100, new Uint8Array(5).fill(8))
    await image.close()
    checkEncrypted('disk')
    const disk = decrypted('disk')
    expect([disk.length, disk[MiB - 1], disk[MiB], disk[2 * MiB + 100]]).toEqual([3 * MiB, 5, 0, 8])
    const again = await open('disk')
    await again.resize(MiB / 2, { shrink: true })
    await again.close()
    checkEncrypted('disk')
    expect(decrypted('disk')).toHaveLength(MiB / 2)
  })

  it('checks and repairs, without the passphrase', async () => {
    createEncrypted('disk', format)
    ioEncrypted('disk', ['write -q -P 5 0 1M'])
    const whole = decrypted('disk')
    expect(await check(storage('disk'))).toMatchObject({ verdict: 'clean', allocatedClusters: 16 })
    // The count of the data's first cluster becomes 0, which is wrong, as its flag then is, and that of one past the end 1.
    const bytes = readFileSync(file('disk'))
    const block = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(48))))
    const table = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(40))) & 0x00ff_ffff_ffff_fe00n)
    const data = Number(bytes.readBigUInt64BE(table) & 0x00ff_ffff_ffff_fe00n) / 65_536
    bytes.writeUInt16BE(0, block + 2 * data)
    bytes.writeUInt16BE(1, block + 2 * Math.ceil(bytes.length / 65_536))
    writeFileSync(file('disk'), bytes)
    expect(await check(storage('disk'))).toMatchObject({ verdict: 'corrupt', corruptions: 2 })
    const { after } = await repair(storage('disk'), 'all')
    expect(after.verdict).toBe('clean')
    checkEncrypted('disk')
    expect(difference(decrypted('disk'), whole)).toBe(-1)
  })

  it('amended', async () => {
    createEncrypted('disk', format)
    ioEncrypted('disk', ['write -q -P 5 0 1M', 'write -q -z 64k 64k'])
    const whole = decrypted('disk')
    for (const options of [{ version: 2 }, { version: 3 }, { lazyRefcounts: true }, { refcountBits: 32 }] as const) {
      await amend(storage('disk'), options)
      checkEncrypted('disk')
      expect(difference(decrypted('disk'), whole), JSON.stringify(options)).toBe(-1)
    }
    expect(qemuImg('info', 'disk')).toContain('encrypted: yes')
  })

  it('discards and writes zeros; doesn’t compress; reports what differs', async () => {
    createEncrypted('disk', format)
    ioEncrypted('disk', ['write -q -P 5 0 1M'])
    const image = await open('disk')
    await image.snapshots.create('before')
    await image.discard(0, 128 * 1024)
    await image.writeZeroes(300_000, 100_000)
    const refused = await image.writeCompressed(0, new Uint8Array(65_536)).catch((error: Qcow2Error) => error.code)
    expect(refused).toBe('NO_COMPRESSION')
    const differ = []
    for await (const extent of image.diff('before')) differ.push([extent.start, extent.length])
    expect(differ).toEqual([
      [0, 131_072],
      [262_144, 196_608],
    ])
    const bytes = await image.read(0, MiB)
    await image.close()
    checkEncrypted('disk')
    expect(difference(bytes, decrypted('disk'))).toBe(-1)
    expect([bytes[0], bytes[131_072], bytes[300_000], bytes[399_999], bytes[400_000]]).toEqual([0, 5, 0, 0, 5])
  })
})

it('an image goes through a draft in memory', async () => {
  const file = memory()
  const image = await Qcow2.create(file, { size: MiB, encryption: { passphrase, iterations: 1000 } })
  expect(image.sync).toBe(true)
  image.writeSync(500, new Uint8Array(600).fill(3))
  image.flushSync()
  await image.close()
  const again = await Qcow2.open(memory(file.bytes()), { passphrase })
  expect([...again.readSync(498, 4)]).toEqual([0, 0, 3, 3])
  await again.close()
})
