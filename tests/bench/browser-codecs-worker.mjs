// The worker of the benchmark of codecs: disks in memory, read and written in clusters of 64 KiB by the engine, and as
// many bytes by the plain crates, and by what the browser has.
import { memory, Qcow2 } from '/dist/index.js'
import { compare, serve } from './browser-measure.mjs'

const cluster = 64 * 1024
const size = 16 * 1024 * 1024
const passphrase = 'open sesame'
const luks = { passphrase, iterations: 1000 }
const legacy = { format: 'aes', passphrase }

/** Half machine code, half text: what disks are full of. */
async function fill() {
  const files = ['/dist/generated/qcow2_web_bg.wasm', '/dist/worker/worker.js']
  const parts = await Promise.all(files.map(async (file) => new Uint8Array(await (await fetch(file)).arrayBuffer())))
  for (let at = 0; at < size; at += cluster) {
    const part = parts[(at / cluster) % 2]
    const start = (at * 7) % Math.max(part.length - cluster, 1)
    bytes.set(part.subarray(start, start + cluster), at)
  }
}

const bytes = new Uint8Array(size)
const clusters = Array.from({ length: size / cluster }, (_, index) =>
  bytes.subarray(index * cluster, (index + 1) * cluster),
)

async function disk(options, compressed = false) {
  const image = await Qcow2.create(memory(), { size, ...options })
  if (compressed) await image.writeCompressed(0, bytes)
  else image.writeSync(0, bytes)
  return image
}

const into = new Uint8Array(cluster)
const reading = (image) => () => {
  for (let at = 0; at < size; at += cluster) image.readIntoSync(at, into)
}
const writing = (image) => () => {
  clusters.forEach((each, index) => {
    image.writeSync(index * cluster, each)
  })
}

/** AES-CBC of WebCrypto, a sector a call, as the vectors of sectors ask for. */
async function webCrypto() {
  const key = await crypto.subtle.importKey('raw', new Uint8Array(16), 'AES-CBC', false, ['encrypt', 'decrypt'])
  const iv = new Uint8Array(16)
  const sealed = await crypto.subtle.encrypt({ name: 'AES-CBC', iv }, key, bytes.subarray(0, 512))
  const each = async (call) => {
    for (const whole of clusters) {
      const sectors = Array.from({ length: cluster / 512 }, (_, index) =>
        whole.subarray(index * 512, (index + 1) * 512),
      )
      await Promise.all(sectors.map(call))
    }
  }
  return {
    encrypt: () => each((sector) => crypto.subtle.encrypt({ name: 'AES-CBC', iv }, key, sector)),
    decrypt: () => each(() => crypto.subtle.decrypt({ name: 'AES-CBC', iv }, key, sealed)),
  }
}

const through = (transform, chunk) => new Response(new Blob([chunk]).stream().pipeThrough(transform)).arrayBuffer()

/** The plain crates' AES, over as many clusters. */
async function plain(name) {
  const { instance } = await WebAssembly.instantiateStreaming(fetch('/target/bench/plain.wasm'))
  return () => instance.exports[name](clusters.length)
}

const measurements = {
  async decryptBlocks() {
    return compare(size / 1e6, reading(await disk({ encryption: legacy })), await plain('cbc_decrypt'))
  },
  async encryptBlocks() {
    return compare(size / 1e6, writing(await disk({ encryption: legacy })), await plain('cbc_encrypt'))
  },
  async decryptXtsBlocks() {
    return compare(size / 1e6, reading(await disk({ encryption: luks })), await plain('xts_decrypt'))
  },
  async encryptXtsBlocks() {
    return compare(size / 1e6, writing(await disk({ encryption: luks })), await plain('xts_encrypt'))
  },
  async decrypt() {
    const theirs = await webCrypto()
    return compare(size / 1e6, reading(await disk({ encryption: legacy })), theirs.decrypt)
  },
  async encrypt() {
    const theirs = await webCrypto()
    return compare(size / 1e6, writing(await disk({ encryption: legacy })), theirs.encrypt)
  },
  async decryptXts() {
    return compare(size / 1e6, reading(await disk({ encryption: luks })), reading(await disk({ encryption: legacy })))
  },
  async encryptXts() {
    return compare(size / 1e6, writing(await disk({ encryption: luks })), writing(await disk({ encryption: legacy })))
  },
  async inflate() {
    const packed = []
    for (const each of clusters) packed.push(await through(new CompressionStream('deflate-raw'), each))
    const theirs = async () => {
      for (const each of packed) await through(new DecompressionStream('deflate-raw'), each)
    }
    const image = await disk({}, true)
    return compare(size / 1e6, reading(image), theirs)
  },
  async deflate() {
    const theirs = async () => {
      for (const each of clusters) await through(new CompressionStream('deflate-raw'), each)
    }
    return compare(size / 1e6, async () => void (await disk({}, true)), theirs)
  },
  async unzstd() {
    const [ours, theirs] = [await disk({ compression: 'zstd' }, true), await disk({}, true)]
    return compare(size / 1e6, reading(ours), reading(theirs))
  },
  async zstd() {
    const make = (compression) => async () => void (await disk({ compression }, true))
    return compare(size / 1e6, make('zstd'), make('zlib'))
  },
}

serve(measurements, fill)
