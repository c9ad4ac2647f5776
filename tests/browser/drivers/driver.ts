/** How long one thing may take that a test waits for, in ms: less than the whole test may, so that it is told which. */
export const patience = 100_000

/** A tab of a browser. */
export interface Page {
  /** Calls a function there, which can't use what is around it here; what it is given and what it gives are copied. */
  evaluate<A, T>(work: (given: A) => T | Promise<T>, given: A): Promise<T>
  /** Gives a file to the file input of a selector, as its user would. */
  choose(selector: string, path: string): Promise<void>
  /** The errors and warnings on its console until now. */
  complaints(): Promise<readonly string[]>
  close(): Promise<void>
}

/** A browser that runs unattended on a profile, which outlives it. */
export interface Browser {
  /** A tab of its own at an address. */
  open(url: string): Promise<Page>
  /** Lets an origin keep so many bytes in all. Tabs don't outlive it; there is none where a browser can't be told. */
  limit?(origin: string, bytes: number): Promise<void>
  /** Ends it as its user does. */
  close(): Promise<void>
  /** How long all of its processes have run on a processor, in seconds, where that is known. */
  processorTime?(): number
  /** Ends all of its processes at once. */
  kill(): Promise<void>
}

/** Starts a browser on the profile in a folder. */
export type Launch = (profile: string) => Promise<Browser>
