/** What is asked of the worker that alone may reach other servers. */

/** A request, as it can be cloned. */
export interface Asked {
  url: string
  method: string
  headers: [name: string, value: string][]
  redirect: RequestRedirect
  cache: RequestCache
}

/** The beginning of an answer. */
export interface Answered {
  type: ResponseType
  status: number
  headers: [name: string, value: string][]
  /** True if `read` gives a body. */
  hasBody: boolean
}

/** What the engine's worker may ask. `id` is a number of its own for each request. */
export interface Network {
  fetch(id: number, asked: Asked): Promise<Answered>
  /** The next part of the body; `null` after the last. */
  read(id: number): Promise<Uint8Array | null>
  /** Ends a request, whatever has come of it. */
  cancel(id: number): void
}

/** What the page may ask. */
export interface Gate {
  /** Lets the file at an address be fetched, which the person has given. */
  allow(url: string): void
  /** Answers what is asked through a port. */
  serve(port: MessagePort): void
}
