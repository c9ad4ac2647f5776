/** Where the changes of an image go. */

import { type ClaimOptions, type Draft, draft, opfs, type Storage, type WritableStorage } from 'qcow2-web'

export type Target = InMemory | InPlace

/** To memory, over the file, which is not written until they are saved. */
export interface InMemory {
  in: 'memory'
  storage: WritableStorage & Draft
}

/** Into the file itself, in the browser's storage. */
export interface InPlace {
  in: 'file'
  storage: WritableStorage
}

export const inMemory = (storage: Storage): InMemory => ({ in: 'memory', storage: draft(storage) })

/** One tab at a time has the file; `claim` decides what happens when another one asks for it. */
export const inPlace = (path: string, claim: ClaimOptions = {}): InPlace => ({
  in: 'file',
  storage: opfs(path, claim),
})
