/** Where the changes of an image go. */

import { type ClaimOptions, type Draft, draft, opfs, type Storage, type WritableStorage } from 'qcow2-web'

export type Target = InMemory | InPlace

/** To memory, over the file, which stays as it is until they are saved. */
export interface InMemory {
  in: 'memory'
  storage: WritableStorage & Draft
}

/** Into the file itself, in the browser's storage. */
export interface InPlace {
  in: 'place'
  storage: WritableStorage
}

export const inMemory = (storage: Storage): InMemory => ({ in: 'memory', storage: draft(storage) })

/** One tab at a time has the file; `claim` is what happens with others who want it. */
export const inPlace = (path: string, claim: ClaimOptions = {}): InPlace => ({
  in: 'place',
  storage: opfs(path, claim),
})
