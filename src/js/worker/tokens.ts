import type { Maker } from '../storage/recipe.js'

/** A value in which all that can't be cloned is replaced by a {@link Token}. */
export type Encoded = unknown

/** What stands for something of the page. */
export type Token =
  /** A function of the page: to be called there. */
  | { readonly [mark]: 'function'; readonly number: number }
  /** A signal of the page. */
  | { readonly [mark]: 'signal'; readonly number: number }
  /** A storage that stays on the page. */
  | { readonly [mark]: 'storage'; readonly number: number; readonly writable: boolean }
  /** A storage that the worker makes itself. */
  | { readonly [mark]: 'recipe'; readonly maker: Maker; readonly args: Encoded }

/** The member by which a token is known. */
export const mark = 'qcow2-web/token'

/** `value` with `replace` applied to it, or, where that gives nothing, to all that arrays and plain objects in it hold. */
export function replaced(value: unknown, replace: (part: unknown) => unknown): unknown {
  const replacement = replace(value)
  if (replacement !== undefined) return replacement
  if (Array.isArray(value)) return value.map((each) => replaced(each, replace))
  if (!isPlain(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, replaced(each, replace)]))
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
