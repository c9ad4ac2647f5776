import { Failure } from './failure.js'
import { keyValues } from './keyval.js'

/** The id or name in a parameter `snapshot.id=ID`, `snapshot.name=NAME`, or `ID_OR_NAME`. */
export function snapshotId(parameter: string): string {
  if (!parameter.startsWith('snapshot.')) return parameter
  const values = new Map(keyValues(parameter))
  for (const key of values.keys()) {
    if (key !== 'snapshot.id' && key !== 'snapshot.name') {
      throw new Failure(`Invalid parameter '${key}'\nqemu-img: Failed in parsing snapshot param '${parameter}'`)
    }
  }
  return values.get('snapshot.id') ?? values.get('snapshot.name') ?? ''
}
