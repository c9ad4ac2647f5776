import { done, request } from './requests.js'

/** Before the name of a file stands this, as the name of its database. */
export const prefix = 'qcow2-web/'

/** A database with the names of files, as keys; not one of those that hold files. */
const register = 'qcow2-web names'

/**
 * Notes that a file is there, where the browser does not list its databases: Firefox does since version 126. It is noted before
 * the file is made, so that whatever is there is listed.
 */
export async function noteName(factory: IDBFactory, name: string): Promise<void> {
  if (!lists(factory)) await change(factory, (names) => names.put(true, name))
}

/** Forgets a file that is gone. */
export async function forgetName(factory: IDBFactory, name: string): Promise<void> {
  if (!lists(factory)) await change(factory, (names) => names.delete(name))
}

/** The names of all files. */
export async function names(factory: IDBFactory): Promise<string[]> {
  if (lists(factory)) {
    const databases = await factory.databases()
    return databases.flatMap(({ name = '' }) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []))
  }
  return using(factory, async (database) => {
    const keys = await request(database.transaction('names').objectStore('names').getAllKeys())
    return keys as string[]
  })
}

const lists = (factory: IDBFactory): boolean => typeof factory.databases === 'function'

function change(factory: IDBFactory, make: (names: IDBObjectStore) => void): Promise<void> {
  return using(factory, (database) => {
    const transaction = database.transaction('names', 'readwrite')
    make(transaction.objectStore('names'))
    return done(transaction)
  })
}

async function using<T>(factory: IDBFactory, use: (database: IDBDatabase) => Promise<T>): Promise<T> {
  const opening = factory.open(register, 1)
  opening.onupgradeneeded = () => opening.result.createObjectStore('names')
  const database = await request(opening)
  try {
    return await use(database)
  } finally {
    database.close()
  }
}
