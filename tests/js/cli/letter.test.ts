import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lab, same } from '../helpers/cli-lab.js'

test('create reports its options as they were given', () =>
  same(`
    create -f qcow2 -o lazy_refcounts=yes x 1M
    create -f qcow2 -o lazy_refcounts=true,extended_l2=y x 1M
    create -f qcow2 -o refcount_bits=010 x 1M
    create -f qcow2 -o refcount_bits=-1 x 1M
    create -f qcow2 -o refcount_bits=99999999999999999999 x 1M
    create -f qcow2 -o size=-1 x
    create -f qcow2 -o size=9E x
    create -f qcow2 x 9223372036854775807
    create -f qcow2 x 9223372036854775296
    create -f qcow2 x -- -1
    create x 513
    info x
    create -o preallocation=foo x 1M
    create --o size=1M x
    create -f qcow2 -o preallocation=metadata p 1M
    ~info p
    create -f qcow2 -o preallocation=full f 1M
    ~info f
    create -q -f qcow2 file:y 1M
    info y
  `))

test('create refuses what does not go together, and leaves no file', () =>
  same(`
    create -f qcow2 -o '' x 1M
    create -f qcow2 -o , x 1M
    create -f qcow2 -o size=1M, x
    create -f qcow2 -F raw x 1M
    create -f qcow2 -F foo x 1M
    create -f qcow2 -b nope -F foo -u x 1M
    create -f qcow2 -b foo:bar -F raw x 1M
    create -f qcow2 -b . -F raw x 1M
    create foo:x 1M
    create -f qcow2 '' 1M
    create -f qcow2 -o data_file=/nonexist/a x 1M
    info x
    create -f qcow2 -o encrypt.key-secret=k x 1M
    create -f qcow2 --object secret,id=k,data=pw -o encrypt.format=aes,encrypt.key-secret=k,encrypt.iter-time=10 x 1M
    create -f qcow2 --object secret,id=k,data=pw -o encrypt.format=luks,encrypt.key-secret=k,encrypt.cipher-alg=sm4 x 1M
    create -f qcow2 --object secret,id=k,data=pw -o encrypt.format=luks,encrypt.key-secret=k,encrypt.cipher-alg=cast5-128 x 1M
    info x
    create --object secret,id=k x 1M
    create --object secret,id=1k,data=x x 1M
    create --object secret,id=k,data=x --object secret,id=k,data=y x 1M
    create -q --object '{"qom-type":"secret","id":"k","data":"x"}' x 1M
    create --object '{"qom-type":"secret"' x 1M
  `))

const images = `
  =create -q -f qcow2 base.qcow2 4M
  $qemu-io -c 'write -P 1 0 256k' -c 'write -P 3 3M 64k' base.qcow2
  =create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2
  $qemu-io -c 'write -P 4 64k 64k' -c 'write -z 128k 64k' mid.qcow2
  $mkdir sub
  =create -q -f qcow2 -b ../base.qcow2 -F qcow2 sub/up.qcow2
  =create -q -f qcow2 -u -b nope -F qcow2 orphan.qcow2 1M
  =create -q x.raw 1M
  $qemu-io -f raw -c 'write -P 9 0 1M' x.raw
  $printf abc > abc.raw`

test('files that are no images of this kind are refused', () =>
  same(`${images}
    $printf 'QFI\\373\\0\\0\\0\\11' > v9.qcow2; truncate -s 1k v9.qcow2
    info v9.qcow2
    info -f qcow2 v9.qcow2
    check v9.qcow2
    info ''
    info 'json:{"driver":"qcow2"'
    map -s -1 base.qcow2
    check -T foo base.qcow2
    $cp base.qcow2 corrupt.qcow2; printf '\\2' | dd of=corrupt.qcow2 bs=1 seek=79 conv=notrunc 2>/dev/null
    snapshot -c new corrupt.qcow2
    amend -o compat=0.10 corrupt.qcow2
    check -r leaks corrupt.qcow2
    ~info corrupt.qcow2
    rebase -b mid.qcow2 -F qcow2 mid.qcow2
    bitmap --add --merge b0 -b base.qcow2 base.qcow2 b0
  `))

test('a last argument may be a negative size, and options may follow a size', () =>
  same(`${images}
    resize base.qcow2 5M -q
    ~info base.qcow2
    resize --shrink base.qcow2 -1M
    resize base.qcow2 -x
    resize base.qcow2 --foo
    resize --shrink -1M base.qcow2
  `))

test('bitmaps are changed without the backing file', () =>
  same(`${images}
    bitmap --add orphan.qcow2 b
    ~info orphan.qcow2
    bitmap --add -g 0 base.qcow2 b
    bitmap --add --merge b -b nope -F raw base.qcow2 c
    ~info base.qcow2
  `))

test('a file of the chain is named as the image above it would name it', () =>
  same(`${images}
    commit -b base.qcow2 sub/up.qcow2
    commit -b ../base.qcow2 sub/up.qcow2
  `))

test('amend reports what cannot be changed', () =>
  same(`${images}
    =create -q -f qcow2 -o extended_l2=on ext.qcow2 1M
    =create -q -f qcow2 -o data_file=d data.qcow2 1M
    =create -q -f qcow2 -o data_file=r,data_file_raw=on raw.qcow2 1M
    $qemu-img convert -c -O qcow2 -o compression_type=zstd base.qcow2 zstd.qcow2
    amend -o compat=0.10 ext.qcow2
    amend -o compat=0.10 data.qcow2
    amend -o compat=0.10 zstd.qcow2
    =snapshot -c s base.qcow2
    amend -o refcount_bits=1 base.qcow2
    amend -o backing_file=base.qcow2 mid.qcow2
    amend -o data_file_raw=off raw.qcow2
    ~info raw.qcow2
    amend -o data_file_raw=off base.qcow2
    amend -o data_file_raw=off,data_file=d data.qcow2
    ~info data.qcow2
    amend -p -o foo=1 base.qcow2
  `))

test('convert stores what a flat source does not hold as zeros over a backing file', async () => {
  const directories = lab()
  const script = `${images}
    convert -O qcow2 -B x.raw -F raw base.qcow2 o
    compare base.qcow2 o
    ~map --output=json o
    convert -O qcow2 -S 1M mid.qcow2 s
    ~map --output=json s
    compare mid.qcow2 s
    convert -O qcow2 -c base.qcow2 c
    ~info --output=json c
    convert -O qcow2 abc.raw a
    ~info --output=json a
    convert -o preallocation=full abc.raw p
    ~info p
    convert --output-format qcow2 --options cluster_size=4k base.qcow2 l
    ~info l
    convert -m abc base.qcow2 n`
  await same(script, directories)
  for (const name of ['a', 'c']) {
    const [theirs, ours] = [directories.theirs, directories.ours].map((each) => statSync(join(each, name)).size)
    expect(ours).toBe(theirs)
  }
})

test('measure checks its options, and counts what version 2 does not have', () =>
  same(`
    =create -q -f qcow2 -o compat=0.10 v2.qcow2 1M
    measure -O qcow2 v2.qcow2
    measure --size 1G -O qcow2 -o extended_l2=on,cluster_size=4k
    measure --size 1G -O qcow2 -o encrypt.format=luks
    measure --size 7E
    measure --size -1
  `))
