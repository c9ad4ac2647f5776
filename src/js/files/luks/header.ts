import type { CipherName, Derivation } from './crypto.js'

/** Reads bytes of a container. Throws if they are not there yet. */
export type ReadContainer = (offset: number, length: number) => Uint8Array

/** What the header of a container records. Offsets are in bytes from the container's start. */
export interface ContainerHeader {
  /** The slots that are in use, in the order in which they are tried. */
  readonly slots: readonly KeySlot[]
  /** What is encrypted. */
  readonly content: Content
}

/** A slot, which holds the container's key, encrypted with a key that is derived from a passphrase. */
export interface KeySlot {
  readonly derivation: Derivation
  /** The length of the key that is derived. */
  readonly derivedBytes: number
  /** The cipher of the material. */
  readonly encryption: CipherName
  /** The hash of the anti-forensic splitter. */
  readonly splitHash: string
  readonly materialOffset: number
  readonly keyBytes: number
  /** What identifies the right key. */
  readonly check: { readonly derivation: Derivation; readonly digest: Uint8Array }
}

/** The part of a container that is encrypted, and how. */
export interface Content {
  readonly encryption: CipherName
  readonly offset: number
  /** The length in bytes. Up to the container's end if it is absent. */
  readonly size?: number
  readonly sectorSize: number
  /** The number of the first sector, in units of 512 bytes. */
  readonly firstSector: number
}

/** All programs split keys into so many stripes. */
export const stripes = 4000
/** The longest key: two of 512 bits. */
export const longestKey = 128
