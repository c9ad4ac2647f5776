import type { ImageInfo } from 'qcow2-web'
import { Size } from '../ui/size'
import { useLimit } from '../ui/use-limit'
import { formatOffset } from '../values/offset'

/** Bitmaps, feature bits and extensions, where there are any. */
export function Extras({ info }: { info: ImageInfo }) {
  return (
    <>
      {info.bitmaps.length > 0 && <Bitmaps info={info} />}
      {info.features.length > 0 && <Features info={info} />}
      {info.unknownExtensions.length > 0 && <Extensions info={info} />}
    </>
  )
}

function Bitmaps({ info }: { info: ImageInfo }) {
  const [shown, more] = useLimit(info.bitmaps)
  return (
    <section class="card" aria-labelledby="bitmaps-title">
      <h2 id="bitmaps-title">Dirty bitmaps</h2>
      <table class="list">
        <tbody>
          {shown.map((bitmap) => (
            <tr key={bitmap.name}>
              <th scope="row">{bitmap.name}</th>
              <td>
                {[bitmap.auto ? 'kept up to date' : 'not kept up to date', bitmap.inUse && 'in use or not saved']
                  .filter(Boolean)
                  .join(', ')}
              </td>
              <td class="end">
                a bit for <Size bytes={bitmap.granularity} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {more}
    </section>
  )
}

const FEATURE_KINDS = {
  incompatible: 'needed to read the image',
  compatible: 'may be ignored',
  autoclear: 'cleared by a writer that does not know it',
} as const

function Features({ info }: { info: ImageInfo }) {
  return (
    <section class="card" aria-labelledby="features-title">
      <h2 id="features-title">Features</h2>
      <table class="list">
        <tbody>
          {info.features.map((feature) => (
            <tr key={`${feature.kind} ${feature.bit}`}>
              <th scope="row">{feature.name ?? 'No name'}</th>
              <td class="soft">{FEATURE_KINDS[feature.kind]}</td>
              <td class="end soft">
                {feature.kind}, bit {feature.bit}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function Extensions({ info }: { info: ImageInfo }) {
  const [shown, more] = useLimit(info.unknownExtensions)
  return (
    <section class="card" aria-labelledby="extensions-title">
      <h2 id="extensions-title">Unknown header extensions</h2>
      <table class="list">
        <tbody>
          {shown.map((extension, index) => (
            <tr key={`${extension.type} ${index}`}>
              <th scope="row" class="mono">
                {formatOffset(extension.type, 8)}
              </th>
              <td class="end">
                <Size bytes={extension.length} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {more}
    </section>
  )
}
