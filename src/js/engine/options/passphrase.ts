import { isDetached } from '../../base/arguments.js'
import { invalidArgument } from '../../base/errors.js'

/**
 * A passphrase: a text, which becomes bytes as UTF-8, or the bytes themselves. Bytes are copied when they are needed, and the
 * package wipes its copies; a text can't be wiped, nor can what the browser copies on the way to a worker.
 */
export type Passphrase = string | Uint8Array

/** An encrypted file of the chain, whose passphrase is asked for. */
export interface PassphraseRequest {
  /** 0 for the image that is opened, 1 for its backing file, and so on. */
  readonly depth: number
  /** How it is encrypted: by LUKS, or by QEMU's legacy method, which cannot detect a wrong passphrase. */
  readonly format: 'luks' | 'aes'
  /** The backing file's recorded name; `undefined` for the image itself. */
  readonly name: string | undefined
}

/**
 * Knows passphrases: called once for each file of the chain that is encrypted, when its passphrase is needed. Without an answer,
 * opening fails with code `PASSPHRASE_NEEDED`; what it throws comes out of the opening as it is.
 */
export type PassphraseResolver = (
  request: PassphraseRequest,
) => Passphrase | Promise<Passphrase | null | undefined> | null | undefined

/** The passphrases of a chain, as the engine asks for them. */
export class Passphrases {
  readonly #source: Passphrase | PassphraseResolver | null | undefined
  readonly #files = new Map<number, { name: string; own: Passphrase | undefined }>()
  #thrown: { readonly exception: unknown } | undefined

  /** `source` is of the image, and of backing files without a passphrase of their own. */
  constructor(source?: Passphrase | PassphraseResolver | null) {
    if (source !== undefined && source !== null && typeof source !== 'function') checkPassphrase(source, 'passphrase')
    this.#source = source
  }

  /** A backing file was found. */
  found(depth: number, name: string, own: Passphrase | undefined): void {
    this.#files.set(depth, { name, own })
  }

  /** The passphrase of a file, in an array that the engine wipes. */
  async answer(depth: number, format: 'luks' | 'aes'): Promise<Uint8Array | undefined> {
    const file = this.#files.get(depth)
    try {
      const answer = file?.own ?? (await this.#ask({ depth, format, name: file?.name }))
      return answer === undefined || answer === null ? undefined : passphraseBytes(answer, 'The passphrase')
    } catch (exception) {
      this.#thrown = { exception }
      return undefined
    }
  }

  /** What an opening that failed with `error` is to reject with. */
  reason(error: unknown): unknown {
    return this.#thrown ? this.#thrown.exception : error
  }

  #ask(request: PassphraseRequest): ReturnType<PassphraseResolver> {
    return typeof this.#source === 'function' ? this.#source(request) : this.#source
  }
}

/** A passphrase as bytes, in an array of their own. */
export function passphraseBytes(passphrase: Passphrase, what: string): Uint8Array {
  checkPassphrase(passphrase, what)
  return typeof passphrase === 'string' ? new TextEncoder().encode(passphrase) : passphrase.slice()
}

/** Throws unless it is one; the error doesn't show it. */
export function checkPassphrase(value: unknown, what: string): void {
  if (typeof value === 'string' || (value instanceof Uint8Array && !isDetached(value))) return
  throw invalidArgument(`${what} must be a string, or a Uint8Array that was not transferred.`)
}
