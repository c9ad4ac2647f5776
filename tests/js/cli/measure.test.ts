import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { here, lab, same } from '../helpers/cli-lab.js'

test('measure reports sizes for every option', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 64k' -c 'write -z 256k 64k' -c 'write -P 3 700k 1k' a.qcow2
    =snapshot -c s a.qcow2
    measure
    measure --size 1M
    measure -O qcow2 --size 1G
    measure -O raw --size 1G
    measure -O qcow2 a.qcow2
    measure a.qcow2
    measure -O qcow2 --size 1G a.qcow2
    measure --output=json -O qcow2 a.qcow2
    measure --output=json -O qcow2 --size 10G -o cluster_size=4k
    measure --output=json a.qcow2
    measure -O qcow2 -o preallocation=full a.qcow2
    measure -O qcow2 -o preallocation=metadata a.qcow2
    measure -O qcow2 -o preallocation=foo a.qcow2
    measure -O qcow2 -o size=1M
    measure -O qcow2 -o backing_file=foo --size 1M
    measure -O qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10 --object secret,id=sec0,data=abc --size 1M
    measure -O qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.cipher-alg=aes-128,encrypt.iter-time=10 --object secret,id=sec0,data=abc --size 1M
    measure -O qcow2 -o foo=1 --size 1M
    measure -O qcow2 --size abc
    measure -O qcow2 --size 1000
    measure -O vmdk --size 1M
    measure -O foo --size 1M
    measure -O qcow2 -l s a.qcow2
    measure -O qcow2 -l snapshot.name=s a.qcow2
    measure -O qcow2 -l nope a.qcow2
    measure -l s --size 1M
    measure -f qcow2 --size 1M
    measure nope
    measure a b
    measure -O qcow2 -o extended_l2=on --size 1G
    measure -O qcow2 -o data_file=foo --size 1G
    measure -O qcow2 -o refcount_bits=64,compat=0.10 --size 1G
    measure -O qcow2 -o cluster_size=1000 --size 1G
    measure -O qcow2 --size 0
    measure -O qcow2 --size 64E
    measure -O qcow2 --size 3E
    measure -O qcow2 -o preallocation=metadata --size 1G
    measure -O qcow2 -o preallocation=falloc --size 1G
    measure -O qcow2 -s 1G
    measure -O raw --size 1000
    measure -O qcow2 -o help --size 1M
    measure -O qcow2 -o help
    measure -O qcow2 -o compat=x --size 1M
    =create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2
    =create -q -f qcow2 -b a.qcow2 -F qcow2 c.qcow2 3M
    =create -q x.raw 10M
    measure -O qcow2 x.raw
    measure -O qcow2 c.qcow2
    =bitmap --add a.qcow2 b0
    =bitmap --add -g 512 a.qcow2 another-bitmap
    measure -O qcow2 a.qcow2
    measure -O qcow2 --output=json a.qcow2
    measure -O qcow2 b.qcow2
    measure -O qcow2 -o backing_file=a.qcow2 b.qcow2
    measure -O qcow2 -o backing_file=a.qcow2,backing_fmt=qcow2 b.qcow2
    measure -O qcow2 -o compat=0.10 a.qcow2
    measure -O qcow2 -o cluster_size=2M a.qcow2
    measure -O qcow2 -o cluster_size=512 a.qcow2
    ${[512, 4096, 65536, 2097152].flatMap((cluster) => [1, 16, 64].map((bits) => `measure -O qcow2 -o cluster_size=${cluster},refcount_bits=${bits} --size 123456789012`)).join('\n')}
  `))

test('measure -c estimates the size with compressed clusters', async () => {
  const { ours } = lab()
  const shell = (line: string) => execFileSync('sh', ['-c', line], { cwd: ours })
  // Half of the clusters are noise, and the others are text.
  shell('head -c 16M /dev/urandom > noise; yes qcow2 | head -c 16M > text; cat noise text noise text > disk')
  shell('qemu-img convert -f raw -O qcow2 disk disk.qcow2')
  for (const compression of ['zlib', 'zstd']) {
    const line = `measure -c -O qcow2 -o compression_type=${compression} --output=json disk.qcow2`
    const { 'estimated-compressed': estimated } = JSON.parse((await here(line, ours)).out)
    shell(`qemu-img convert -c -O qcow2 -o compression_type=${compression} disk.qcow2 out`)
    const actual = statSync(join(ours, 'out')).size
    expect(estimated / actual).toBeGreaterThan(0.9)
    expect(estimated / actual).toBeLessThan(1.1)
  }
  expect((await here('measure -c -O qcow2 disk.qcow2', ours)).out).toMatch(/\nestimated compressed size: \d+\n$/)
  expect((await here('measure -c disk.qcow2', ours)).code).toBe(1)
})
