// The benchmark in Chromium of ciphers and codecs: disks in memory of which the engine reads or writes clusters of 64 KiB,
// against the plain crates and what the browser has for the same.
import { measure, report, withPage } from './browser-lab.mjs'

/** By measurement: what is compared, and the least ratio. */
const rows = {
  decryptBlocks: ['legacy AES read : by the block', 6],
  encryptBlocks: ['legacy AES write : by the block', 7],
  decryptXtsBlocks: ['LUKS xts read : xts-mode', 20],
  encryptXtsBlocks: ['LUKS xts write : xts-mode', 20],
  decrypt: ['legacy AES read : WebCrypto', 1],
  encrypt: ['legacy AES write : WebCrypto', 1],
  decryptXts: ['LUKS xts read : legacy AES'],
  encryptXts: ['LUKS xts write : legacy AES'],
  inflate: ['inflate : DecompressionStream', 1.5],
  deflate: ['deflate : CompressionStream', 2],
  unzstd: ['zstd read : inflate'],
  zstd: ['zstd write : deflate'],
}

await withPage(async (page) => {
  let good = true
  console.log('                                           ours       theirs   ratio  target')
  for (const [name, [title, target]] of Object.entries(rows)) {
    good = report(title, await measure(page, 'browser-codecs-worker.mjs', name, {}), 'MB/s', target) && good
  }
  return good
})
