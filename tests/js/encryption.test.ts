import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  type EncryptionOptions,
  inspect,
  memory,
  nodeFile,
  type OpenOptions,
  type PassphraseRequest,
  Qcow2,
  type Qcow2Error,
} from '../../src/js/index.js'
import { timeByDerivation } from './helpers/derivation-clock.js'
import { contents, create, difference, file, json } from './helpers/qemu.js'
import { checkEncrypted, createEncrypted, decrypted, ioEncrypted, luks, passphrase } from './helpers/secret.js'

const KiB = 1024
const MiB = 2 ** 20

/** What every image of QEMU's here holds. */
const strokes = ['write -q -P 1 0 64k', 'write -q -P 2 100k 3k', 'write -q -z 20k 9k', 'write -q -P 5 1048064 512']

/** Every cipher, mode and hash that QEMU has and LUKS of this package too: QEMU's options, and ours. */
const variants: [string, Omit<Exclude<EncryptionOptions, { format: 'aes' }>, 'passphrase'>][] = [
  ['', {}],
  ['cipher-alg=aes-128,hash-alg=sha1', { cipher: 'aes-128', hash: 'sha1' }],
  ['cipher-alg=aes-192', { cipher: 'aes-192' }],
  [
    'cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha512',
    { mode: 'cbc-essiv:sha256', hash: 'sha512' },
  ],
  ['cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain', { cipher: 'aes-128', mode: 'cbc-plain' }],
  ['ivgen-alg=plain,hash-alg=ripemd160', { mode: 'xts-plain', hash: 'ripemd160' }],
  ['cipher-alg=serpent-256,hash-alg=sha384', { cipher: 'serpent-256', hash: 'sha384' }],
  ['cipher-alg=serpent-128,cipher-mode=cbc', { cipher: 'serpent-128', mode: 'cbc-plain64' }],
  ['cipher-alg=twofish-256,hash-alg=sha224', { cipher: 'twofish-256', hash: 'sha224' }],
  ['cipher-alg=twofish-128', { cipher: 'twofish-128' }],
]

/** Those options as QEMU takes them. */
const options = (text: string) =>
  [
    luks,
    ...text
      .split(',')
      .filter(Boolean)
      .map((each) => `encrypt.${each}`),
  ].join(',')

const open = (name: string, how: OpenOptions = {}) =>
  Qcow2.open(nodeFile(file(name)), { passphrase, writable: true, ...how })

const failure = (promise: Promise<unknown>): Promise<Qcow2Error> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (error) => error,
  )

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('what QEMU encrypted is read, and written so that QEMU reads it', () => {
  it.each([...variants.map(([text]) => options(text)), 'encrypt.format=aes'])('%s', async (all) => {
    createEncrypted('disk', all)
    ioEncrypted('disk', strokes)
    const image = await open('disk')
    expect(difference(await image.read(0, MiB), decrypted('disk'))).toBe(-1)
    const bytes = contents(100_000)
    await image.write(60 * KiB + 100, bytes)
    await image.close()
    const disk = decrypted('disk')
    expect(difference(disk.subarray(60 * KiB + 100).subarray(0, bytes.length), bytes)).toBe(-1)
    expect(disk[60 * KiB]).toBe(1)
    checkEncrypted('disk')
  })
})

describe('what this package encrypts, QEMU reads', () => {
  it.each(variants)('%s', async (text, own) => {
    const image = await Qcow2.create(nodeFile(file('created'), { create: true }), {
      size: MiB,
      encryption: { passphrase, iterations: 1000, ...own },
      overwrite: true,
    })
    const bytes = contents(300_000)
    await image.write(1000, bytes)
    const { encryption } = await image.info()
    await image.close()
    const disk = decrypted('created')
    expect(difference(disk.subarray(1000, 1000 + bytes.length), bytes)).toBe(-1)
    checkEncrypted('created')
    createEncrypted('theirs', options(text))
    const named = (name: string) => {
      const { 'cipher-alg': cipher, 'cipher-mode': mode, 'ivgen-alg': iv, 'hash-alg': hash } = qemuInfo(name)
      return { cipher, mode, iv, hash }
    }
    expect(named('created')).toEqual(named('theirs'))
    if (encryption?.format !== 'luks') return expect.unreachable()
    expect(qemuInfo('created')).toMatchObject({
      uuid: encryption.uuid,
      'master-key-iters': encryption.digestIterations,
      slots: encryption.keySlots.map(({ active, offset }) => ({ active, 'key-offset': offset })),
    })
    expect(encryption.keySlots.map(({ active }) => active)).toEqual([true, ...Array(7).fill(false)])
    expect(encryption.keySlots[0]?.iterations).toBe(1000)
  })

  it('legacy AES', async () => {
    const storage = nodeFile(file('legacy'), { create: true })
    const image = await Qcow2.create(storage, { size: MiB, encryption: { format: 'aes', passphrase } })
    const bytes = contents(300_000)
    await image.write(1000, bytes)
    expect((await image.info()).encryption).toEqual({ format: 'aes' })
    await image.close()
    expect(difference(decrypted('legacy').subarray(1000, 1000 + bytes.length), bytes)).toBe(-1)
    checkEncrypted('legacy')
  })

  it.each(['metadata', 'full'] as const)('preallocated: %s', async (preallocation) => {
    const storage = nodeFile(file(`allocated-${preallocation}`), { create: true })
    const encryption = { passphrase, iterations: 1000 }
    await (await Qcow2.create(storage, { size: MiB, encryption, preallocation })).close()
    expect(decrypted(`allocated-${preallocation}`).every((byte) => byte === 0)).toBe(true)
    checkEncrypted(`allocated-${preallocation}`)
  })
})

function qemuInfo(name: string): Record<string, unknown> {
  type Told = { 'format-specific': { data: { encrypt: Record<string, unknown> } } }
  return json<Told>('info', name)['format-specific'].data.encrypt
}

describe('a passphrase', () => {
  it('is a text, or bytes that stay as they are', async () => {
    createEncrypted('disk', luks, 'schlüssel')
    const bytes = new TextEncoder().encode('schlüssel')
    for (const given of ['schlüssel', bytes]) await (await open('disk', { passphrase: given })).close()
    expect(new TextDecoder().decode(bytes)).toBe('schlüssel')
  })

  it.each([
    ['is given', () => passphrase],
    ['is promised', async () => passphrase],
    ['comes late', () => new Promise<string>((resolve) => setImmediate(resolve, passphrase))],
  ])('of a function that is asked when it is needed: %s', async (_, answer) => {
    createEncrypted('disk', luks)
    create('plain', '1M')
    const asked: PassphraseRequest[] = []
    const ask = (request: PassphraseRequest) => {
      asked.push(request)
      return answer()
    }
    await (await open('plain', { passphrase: ask })).close()
    expect(asked).toEqual([])
    await (await open('disk', { passphrase: ask })).close()
    expect(asked).toEqual([{ depth: 0, format: 'luks', name: undefined }])
  })

  it('may be missing or wrong, which LUKS detects', async () => {
    for (const [format, code] of [
      [luks, 'WRONG_PASSPHRASE'],
      ['encrypt.format=aes', undefined],
    ] as const) {
      createEncrypted('disk', format)
      ioEncrypted('disk', strokes)
      for (const none of [undefined, () => undefined, async () => null]) {
        expect((await failure(open('disk', { passphrase: none }))).code).toBe('PASSPHRASE_NEEDED')
      }
      if (code) {
        expect((await failure(open('disk', { passphrase: 'open barley' }))).code).toBe(code)
      } else {
        const image = await open('disk', { passphrase: 'open barley' })
        expect(difference(await image.read(0, MiB), decrypted('disk'))).toBeGreaterThan(-1)
        await image.close()
      }
    }
  })

  it('is never shown', async () => {
    createEncrypted('disk', luks)
    const shown = (value: unknown) => JSON.stringify(value) + String(value) + String((value as Error).stack)
    const errors = [
      await failure(open('disk', { passphrase: 'open barley' })),
      await failure(open('disk', { passphrase: 271_828 as never })),
      await failure(open('disk', { passphrase: () => 271_828 as never })),
    ]
    for (const error of errors) expect(shown(error)).not.toMatch(/barley|271828/)
    expect(errors.map(({ code }) => code)).toEqual(['WRONG_PASSPHRASE', 'INVALID_ARGUMENT', 'INVALID_ARGUMENT'])
    const image = await open('disk')
    expect(shown([await image.info(), await image.keySlots.list(), image])).not.toMatch(/sesame/)
    await image.close()
  })

  it('may be refused by an exception, which comes out', async () => {
    createEncrypted('disk', luks)
    const thrown = new Error('asked too often')
    const refuse = () => {
      throw thrown
    }
    expect(await failure(open('disk', { passphrase: refuse }))).toBe(thrown)
    expect(await failure(open('disk', { passphrase: async () => refuse() }))).toBe(thrown)
  })

  it('is not needed for all but the data', async () => {
    createEncrypted('disk', luks)
    ioEncrypted('disk', strokes)
    const image = await open('disk', { passphrase: null, writable: false })
    expect((await failure(image.read(0, 1))).code).toBe('PASSPHRASE_NEEDED')
    expect([...(await image.read(200 * KiB, 3))]).toEqual([0, 0, 0])
    expect((await image.check()).verdict).toBe('clean')
    const { encryption } = await image.info()
    await image.close()
    expect((await inspect(nodeFile(file('disk')))).encryption).toEqual(encryption)
  })
})

describe('a chain', () => {
  const own = 'another one'
  const chain = () => {
    createEncrypted('base', luks, own)
    createEncrypted('top', `${luks},backing_file=base,backing_fmt=qcow2`)
    const more = { options: ',backing.encrypt.key-secret=base', keys: { base: own } }
    ioEncrypted('top', ['write -q -P 4 70k 3k'], more)
    return decrypted('top', more)
  }

  it('has a passphrase for each file, by position or by name', async () => {
    const disk = chain()
    const storage = () => nodeFile(file('base'))
    const asked: PassphraseRequest[] = []
    const ask = (request: PassphraseRequest) => {
      asked.push(request)
      return request.name === 'base' ? own : passphrase
    }
    for (const how of [
      { backing: { storage: storage(), passphrase: own } },
      { backing: () => ({ storage: storage(), passphrase: own }) },
      { backing: storage(), passphrase: ask },
    ]) {
      const image = await open('top', how)
      expect(difference(await image.read(0, MiB), disk)).toBe(-1)
      await image.close()
    }
    expect(asked).toEqual([
      { depth: 0, format: 'luks', name: undefined },
      { depth: 1, format: 'luks', name: 'base' },
    ])
    const error = await failure(open('top', { backing: storage() }))
    expect([error.code, error.depth]).toEqual(['WRONG_PASSPHRASE', 1])
  })

  it('grows by an encrypted overlay over an encrypted base', async () => {
    chain()
    const image = await Qcow2.create(memory(), {
      size: MiB,
      encryption: { passphrase: 'third', iterations: 1000 },
      backing: { name: 'base', format: 'qcow2', storage: { storage: nodeFile(file('base')), passphrase: own } },
    })
    await image.write(300, new Uint8Array(5).fill(7))
    expect([...(await image.read(299, 7))]).toEqual([0, 7, 7, 7, 7, 7, 0])
    await image.close()
  })
})

describe('keys', () => {
  const hashes = ['sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160']

  it.each(hashes)('are the same by WebCrypto and by the engine: %s', async (hash) => {
    createEncrypted('disk', `${luks},encrypt.hash-alg=${hash}`)
    const derive = vi.spyOn(crypto.subtle, 'deriveBits')
    await (await open('disk')).close()
    const known = hash !== 'sha224' && hash !== 'ripemd160'
    expect(derive.mock.calls.length > 0).toBe(known)
    derive.mockClear()
    withoutWebCrypto()
    await (await open('disk')).close()
    expect(derive).not.toHaveBeenCalled()
    expect((await failure(open('disk', { passphrase: 'open barley' }))).code).toBe('WRONG_PASSPHRASE')
    derive.mockRestore()
  })

  it('of few iterations, or of many milliseconds', async () => {
    const least = { passphrase, iterations: 1000 }
    for (const encryption of [{ passphrase, iterationTime: 0 }, least]) {
      const image = await Qcow2.create(memory(), { size: MiB, encryption })
      expect((await image.keySlots.list())[0]?.iterations).toBe(1000)
      await image.close()
    }
    timeByDerivation(100)
    const image = await Qcow2.create(memory(), { size: MiB, encryption: { passphrase, iterationTime: 200 } })
    expect((await image.keySlots.list())[0]?.iterations).toBe(20_000)
    await image.close()
    const encryption = { passphrase, iterations: 999 }
    expect((await failure(Qcow2.create(memory(), { size: MiB, encryption }))).code).toBe('INVALID_ARGUMENT')
  })

  it('are derived once for an image that is created and opened', async () => {
    const derive = vi.spyOn(crypto.subtle, 'deriveBits')
    const encryption = { passphrase, iterations: 1000 }
    await (await Qcow2.create(memory(), { size: MiB, encryption, preallocation: 'metadata' })).close()
    // That of the slot, and the digest of the image's own.
    expect(derive).toHaveBeenCalledTimes(2)
    derive.mockRestore()
  })

  it('report progress, and are ended by an exception or a signal', async () => {
    withoutWebCrypto()
    const told: [number, number][] = []
    const encryption = { passphrase, iterations: 20_000 }
    const onProgress = ({ done, total }: { done: number; total: number }) => told.push([done, total])
    await (await Qcow2.create(memory(), { size: MiB, encryption, onProgress })).close()
    expect(told.length).toBeGreaterThan(6)
    expect(told.at(-1)).toEqual([22_500, 22_500])
    expect(told.every(([done, total], index) => done <= total && done >= (told[index - 1]?.[0] ?? 0))).toBe(true)
    const thrown = new Error('enough')
    const stop = () => {
      throw thrown
    }
    expect(await failure(Qcow2.create(memory(), { size: MiB, encryption, onProgress: stop }))).toBe(thrown)
    const controller = new AbortController()
    const long = { passphrase, iterations: 4_000_000_000 }
    const abort = () => controller.abort(thrown)
    const aborted = Qcow2.create(memory(), {
      size: MiB,
      encryption: long,
      onProgress: abort,
      signal: controller.signal,
    })
    expect(await failure(aborted)).toBe(thrown)
  })

  it('of more iterations than is allowed are not derived', async () => {
    createEncrypted('disk', luks)
    const error = await failure(open('disk', { maxIterations: 999 }))
    expect(error.code).toBe('TOO_MANY_ITERATIONS')
    // The first slot's, as its header says.
    const bytes = new Uint8Array(readFileSync(file('disk')))
    const at = Buffer.from(bytes.buffer).indexOf('LUKS\xba\xbe', 0, 'latin1') + 208
    new DataView(bytes.buffer).setUint32(at + 4, 0xffff_ffff)
    const huge = Qcow2.open(memory(bytes), { passphrase })
    expect((await failure(huge)).code).toBe('TOO_MANY_ITERATIONS')
    withoutWebCrypto()
    const signal = AbortSignal.timeout(50)
    const long = Qcow2.open(memory(bytes), { passphrase, maxIterations: 0xffff_ffff, signal })
    expect((await failure(long)).name).toBe('TimeoutError')
  })

  it('are not made without chance', async () => {
    vi.stubGlobal('crypto', {})
    const encryption = { passphrase, iterations: 1000 }
    expect((await failure(Qcow2.create(memory(), { size: MiB, encryption }))).code).toBe('NO_ENTROPY')
  })

  it.each<[Partial<EncryptionOptions>, string]>([
    [{ format: 'other' as never }, 'INVALID_ARGUMENT'],
    [{ passphrase: undefined as never }, 'INVALID_ARGUMENT'],
    [{ cipher: 'aes' as never }, 'INVALID_ARGUMENT'],
    [{ cipher: 'des-128' as never }, 'INVALID_ARGUMENT'],
    [{ mode: 'xts' as never }, 'INVALID_ARGUMENT'],
    [{ hash: 'md5' as never }, 'INVALID_ARGUMENT'],
    [{ cipher: 'aes-192', mode: 'cbc-essiv:sha1' }, 'BAD_OPTIONS'],
    [{ cipher: 'aes-512' as never }, 'BAD_OPTIONS'],
  ])('are not made of %j', async (wrong, code) => {
    const storage = memory()
    const encryption = { passphrase, iterations: 1000, ...wrong } as EncryptionOptions
    expect((await failure(Qcow2.create(storage, { size: MiB, encryption }))).code).toBe(code)
    expect(storage.bytes()).toHaveLength(0)
  })
})

/** What a page has that doesn't come over HTTPS. */
function withoutWebCrypto(): void {
  vi.stubGlobal('crypto', { getRandomValues: crypto.getRandomValues.bind(crypto) })
}
