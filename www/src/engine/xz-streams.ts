/** Where the streams of an xz file are: most files have one, concatenated ones have several. */

const HEADER = 12
const FOOTER = 12

interface XzStream {
  start: number
  end: number
}

/** Finds the streams from the last one on, by the index that each ends with. Rejects where the file is cut off. */
export async function xzStreams(
  read: (offset: number, length: number) => Promise<Uint8Array>,
  size: number,
): Promise<XzStream[]> {
  const streams: XzStream[] = []
  for (let end = size; end > 0; ) {
    if (end < HEADER + FOOTER) throw cutOff()
    const footer = await read(end - FOOTER, FOOTER)
    const view = new DataView(footer.buffer, footer.byteOffset, FOOTER)
    if (view.getUint32(8) === 0 && streams.length > 0) {
      // Padding between streams.
      end -= 4
      continue
    }
    if (footer[10] !== 0x59 || footer[11] !== 0x5a) throw cutOff()
    const indexSize = (view.getUint32(4, true) + 1) * 4
    const indexStart = end - FOOTER - indexSize
    if (indexStart < HEADER) throw cutOff()
    const start = indexStart - blocksLength(await read(indexStart, indexSize)) - HEADER
    if (start < 0) throw cutOff()
    streams.unshift({ start, end })
    end = start
  }
  return streams
}

/** The length of all blocks that an index lists, with their padding. */
function blocksLength(index: Uint8Array): number {
  let at = 1
  const number = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = index[at]
      if (byte === undefined || shift > 56) throw cutOff()
      at += 1
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }
  let length = 0
  for (let records = number(); records > 0; records -= 1) {
    length += Math.ceil(number() / 4) * 4
    number()
  }
  return length
}

const cutOff = (): Error => new Error('the xz file is cut off, or corrupt at its end.')
