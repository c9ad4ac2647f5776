import { exactBytes, formatSize } from '../values/size'

/** A size in binary units, with its exact bytes on hover and for programs. */
export function Size({ bytes }: { bytes: number }) {
  return (
    <data class="number" value={String(BigInt(bytes))} title={exactBytes(bytes)}>
      {formatSize(bytes)}
    </data>
  )
}
