import { failure } from './crypto.js'
import { type ContainerHeader, type KeySlot, longestKey, stripes } from './header.js'

const slotCount = 8
const enabled = 0x00ac71f3
const sector = 512
const digestBytes = 20
const saltBytes = 32

/** Parses the header of LUKS version 1, which is in the first 592 bytes. Its numbers are big-endian. */
export function parseLuks1(bytes: Uint8Array): ContainerHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 32)).replace(/\0.*$/s, '')
  const encryption = { cipher: text(8), mode: text(40) }
  const hash = text(72)
  const payload = view.getUint32(104)
  const keyBytes = view.getUint32(108)
  if (keyBytes < 1 || keyBytes > longestKey) throw corrupt(`its key has ${keyBytes} bytes`)
  const check = {
    derivation: { kind: 'pbkdf2', hash, salt: bytes.slice(132, 132 + saltBytes), iterations: iterationsAt(view, 164) },
    digest: bytes.slice(112, 112 + digestBytes),
  } as const
  const slots: KeySlot[] = []
  for (let at = 208; at < 208 + slotCount * 48; at += 48) {
    if (view.getUint32(at) !== enabled) continue
    if (view.getUint32(at + 44) !== stripes) throw corrupt(`a key is split into ${view.getUint32(at + 44)} stripes`)
    const salt = bytes.slice(at + 8, at + 8 + saltBytes)
    slots.push({
      derivation: { kind: 'pbkdf2', hash, salt, iterations: iterationsAt(view, at + 4) },
      derivedBytes: keyBytes,
      encryption,
      splitHash: hash,
      materialOffset: view.getUint32(at + 40) * sector,
      keyBytes,
      check,
    })
  }
  return { slots, content: { encryption, offset: payload * sector, sectorSize: sector, firstSector: 0 } }
}

function iterationsAt(view: DataView, at: number): number {
  const iterations = view.getUint32(at)
  if (iterations === 0) throw corrupt('a key is derived without an iteration')
  return iterations
}

function corrupt(what: string): unknown {
  return failure('DAMAGED', `the header of the container is corrupt: ${what}`)
}
