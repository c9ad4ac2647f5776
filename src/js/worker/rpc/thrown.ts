import { Qcow2Error, type Qcow2ErrorCode, type Qcow2ErrorDetails, wordsOf } from '../../base/errors.js'

/** An exception as it crosses: structured cloning keeps little of one. */
export type Thrown =
  | { readonly code: Qcow2ErrorCode; readonly reason: string; readonly details: Details; readonly cause?: Thrown }
  | { readonly name: string; readonly message: string; readonly stack: string | undefined; readonly cause?: Thrown }
  | { readonly value: unknown }

type Details = Pick<Qcow2ErrorDetails, 'offset' | 'depth' | 'file'>

/** How many causes of causes cross; an exception may be its own. */
const causes = 8

/** `exception`, to be sent; what throws where one looks at it, in words. */
export function toThrown(exception: unknown, left = causes): Thrown {
  try {
    return copyOf(exception, left)
  } catch {
    return { value: wordsOf(exception) }
  }
}

function copyOf(exception: unknown, left: number): Thrown {
  const own = Qcow2Error.from(exception)
  if (own) {
    const { code, reason, offset, depth, file } = own
    return { code, reason, details: { offset, depth, file }, ...causeOf(own, left) }
  }
  // A DOMException crosses as it is.
  if (exception instanceof Error && !(exception instanceof DOMException)) {
    const { name, message, stack } = exception
    return { name, message, stack, ...causeOf(exception, left) }
  }
  try {
    return { value: structuredClone(exception) }
  } catch {
    return { value: String(exception) }
  }
}

/** What was sent, to be thrown. */
export function fromThrown(thrown: Thrown): unknown {
  if ('value' in thrown) return thrown.value
  const cause = thrown.cause && fromThrown(thrown.cause)
  if ('code' in thrown) return new Qcow2Error(thrown.code, thrown.reason, { ...thrown.details, cause })
  const error = new Error(thrown.message, cause === undefined ? undefined : { cause })
  for (const [key, value] of Object.entries({ name: thrown.name, stack: thrown.stack })) {
    Object.defineProperty(error, key, { value, configurable: true, writable: true })
  }
  return error
}

function causeOf({ cause }: Error, left: number): { readonly cause?: Thrown } {
  return cause === undefined || left === 0 ? {} : { cause: toThrown(cause, left - 1) }
}
