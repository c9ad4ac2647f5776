import type { AsyncStorage } from '../../base/storage/contract.js'
import { readAhead } from '../cache/read-ahead.js'
import { made } from '../recipe.js'
import { FetchStorage } from './fetch.js'
import { absolute, type HttpOptions, type HttpRequest } from './options.js'

/** A file on a web server, which is read asynchronously; `cached` keeps what was fetched, if anything does. */
export function asyncHttp(
  { options, access, ahead }: HttpRequest,
  cached: (remote: FetchStorage) => AsyncStorage = (remote) => remote,
): AsyncStorage {
  const file = cached(new FetchStorage(access))
  const storage = ahead ? readAhead(file, ahead) : file
  if (options.fetchFn) return storage
  return made(storage, { maker: 'http', args: () => [absolute(access.url), portable(options)] })
}

/** The options as they can be cloned. */
function portable({ requestInit, ...options }: HttpOptions): HttpOptions {
  if (!requestInit) return options
  return { ...options, requestInit: { ...requestInit, headers: [...new Headers(requestInit.headers)] } }
}
