import { copyFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { memory, nodeFile, Qcow2, type Qcow2Error } from '../../src/js/index.js'
import { timeByDerivation } from './helpers/derivation-clock.js'
import { file } from './helpers/qemu.js'
import { amendEncrypted, checkEncrypted, createEncrypted, luks, opens, passphrase } from './helpers/secret.js'

const few = { iterations: 1000 }

const open = (name: string, key = passphrase) => Qcow2.open(nodeFile(file(name)), { passphrase: key, writable: true })

const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'nothing',
    (error: Qcow2Error) => error.code,
  )

/** Which of the passphrases open it, by QEMU and, in a copy, for it may be open here, by this package. */
async function openers(name: string, keys: string[]): Promise<string[]> {
  const found: string[] = []
  for (const key of keys) {
    copyFileSync(file(name), file('copy'))
    const failed = await code(open('copy', key).then((image) => image.close()))
    expect(failed, key).toBe(opens(name, key) ? 'nothing' : 'WRONG_PASSPHRASE')
    if (failed === 'nothing') found.push(key)
  }
  return found
}

it('passphrases that this package adds, changes and erases are QEMU’s', async () => {
  createEncrypted('disk', luks)
  const keys = [passphrase, 'second', 'third']
  const image = await open('disk')
  expect(await image.keySlots.create(passphrase, 'second', few)).toBe(1)
  expect(await openers('disk', keys)).toEqual([passphrase, 'second'])
  expect(await image.keySlots.change('second', 'third', few)).toBe(2)
  expect(await openers('disk', keys)).toEqual([passphrase, 'third'])
  await image.keySlots.delete(0)
  expect(await openers('disk', keys)).toEqual(['third'])
  expect((await image.keySlots.list()).map(({ active }) => active).indexOf(true)).toBe(2)
  expect(await code(image.keySlots.delete(2))).toBe('LAST_KEY_SLOT')
  expect(await openers('disk', keys)).toEqual(['third'])
  await image.close()
  checkEncrypted('disk', 'third')
})

it('passphrases that QEMU adds and erases are this package’s', async () => {
  createEncrypted('disk', luks)
  const add = 'encrypt.state=active,encrypt.new-secret=new,encrypt.keyslot=5,encrypt.iter-time=10'
  amendEncrypted('disk', add, { new: 'second' })
  expect(await openers('disk', [passphrase, 'second'])).toEqual([passphrase, 'second'])
  amendEncrypted('disk', 'encrypt.state=inactive,encrypt.keyslot=0', { key: 'second' })
  expect(await openers('disk', [passphrase, 'second'])).toEqual(['second'])
  const image = await open('disk', 'second')
  const active = (await image.keySlots.list()).map((slot) => slot.active)
  expect(active).toEqual([false, false, false, false, false, true, false, false])
  await image.close()
})

it('a slot is chosen by its number, and erased by its passphrase', async () => {
  createEncrypted('disk', luks)
  const image = await open('disk')
  const active = async () => (await image.keySlots.list()).flatMap((slot, number) => (slot.active ? [number] : []))
  expect(await image.keySlots.create(passphrase, 'second', { ...few, slot: 5 })).toBe(5)
  expect(await image.keySlots.create(passphrase, 'second', { ...few, slot: 2 })).toBe(2)
  expect(await code(image.keySlots.create(passphrase, 'third', { ...few, slot: 5 }))).toBe('KEY_SLOT_IN_USE')
  expect(await code(image.keySlots.create(passphrase, 'third', { ...few, slot: 8 }))).toBe('NO_SUCH_KEY_SLOT')
  expect(await code(image.keySlots.create(passphrase, 'third', { ...few, slot: -1 }))).toBe('INVALID_ARGUMENT')
  expect(await openers('disk', [passphrase, 'second', 'third'])).toEqual([passphrase, 'second'])
  expect(await code(image.keySlots.delete({ passphrase: 'third' }))).toBe('WRONG_PASSPHRASE')
  expect(await code(image.keySlots.delete({ passphrase: 'second', slot: 0 }))).toBe('WRONG_PASSPHRASE')
  expect(await code(image.keySlots.delete({} as never))).toBe('INVALID_ARGUMENT')
  await image.keySlots.delete({ passphrase: 'second', slot: 2 })
  expect(await active()).toEqual([0, 5])
  const told: number[] = []
  await image.keySlots.delete({ passphrase: 'second' }, { onProgress: ({ done }) => told.push(done) })
  expect(await active()).toEqual([0])
  expect(told.length).toBeGreaterThan(0)
  expect(await code(image.keySlots.delete({ passphrase }))).toBe('LAST_KEY_SLOT')
  expect(await openers('disk', [passphrase, 'second'])).toEqual([passphrase])
  await image.close()
})

it('what can’t be done has a code, and changes nothing', async () => {
  copyFileSync(createEncrypted('disk', luks), file('before'))
  const image = await open('disk')
  expect(await code(image.keySlots.create('wrong', 'second', few))).toBe('WRONG_PASSPHRASE')
  expect(await code(image.keySlots.change('wrong', 'second', few))).toBe('WRONG_PASSPHRASE')
  expect(await code(image.keySlots.delete(8))).toBe('NO_SUCH_KEY_SLOT')
  expect(await code(image.keySlots.delete(-1))).toBe('INVALID_ARGUMENT')
  expect(await code(image.keySlots.create(passphrase, 5 as never))).toBe('INVALID_ARGUMENT')
  expect(await code(image.keySlots.create(passphrase, 'second', { iterations: 1 }))).toBe('INVALID_ARGUMENT')
  for (let slot = 1; slot < 8; slot += 1) {
    expect(await image.keySlots.create(passphrase, `number ${slot}`, few)).toBe(slot)
  }
  expect(await code(image.keySlots.create(passphrase, 'ninth', few))).toBe('KEY_SLOTS_FULL')
  await image.close()

  const reader = await Qcow2.open(nodeFile(file('before')), { passphrase })
  expect(await code(reader.keySlots.create(passphrase, 'second', few))).toBe('READ_ONLY')
  await reader.close()
  const plain = await Qcow2.create(memory(), { size: 512 })
  expect(await code(plain.keySlots.list())).toBe('NO_SUCH_KEY_SLOT')
  expect(await code(plain.keySlots.create(passphrase, 'second', few))).toBe('NO_SUCH_KEY_SLOT')
  await plain.close()
})

it('a slot takes as long as is asked for, and reports its progress', async () => {
  createEncrypted('disk', luks)
  const image = await open('disk')
  timeByDerivation(100)
  const told: number[] = []
  const options = { iterationTime: 50, onProgress: ({ done }: { done: number }) => told.push(done) }
  const slot = await image.keySlots.create(passphrase, 'second', options)
  expect((await image.keySlots.list())[slot]?.iterations).toBe(5000)
  expect(told.length).toBeGreaterThan(2)
  const thrown = new Error('enough')
  const stop = () => {
    throw thrown
  }
  await expect(image.keySlots.create(passphrase, 'third', { ...few, onProgress: stop })).rejects.toBe(thrown)
  expect(await openers('disk', [passphrase, 'second', 'third'])).toEqual([passphrase, 'second'])
  await image.close()
})
