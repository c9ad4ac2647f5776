import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('info reports an image, its chain and what is wrong with the arguments', () =>
  same(`
    =create -f qcow2 a.qcow2 64M
    info a.qcow2
    info --output=json a.qcow2
    info --output json a.qcow2
    info --output=human a.qcow2
    info --output=xml a.qcow2
    info -f qcow2 a.qcow2
    info -f raw a.qcow2
    info -f foo a.qcow2
    info nope
    info
    info a.qcow2 a.qcow2
    info -U a.qcow2
    info --foo
    info --out json a.qcow2
    info --o json a.qcow2
    info -Z
    info -f
    info --format
    info --image-opts driver=qcow2,file.filename=a.qcow2
    info --image-opts driver=qcow2,file.driver=file,file.filename=a.qcow2
    info --image-opts file.filename=a.qcow2
    info --image-opts filename=a.qcow2
    info --image-opts a.qcow2
    info --image-opts driver=qcow2
    info --image-opts driver=qcow2,foo=1,file.filename=a.qcow2
    info -f qcow2 --image-opts driver=qcow2
    info 'json:{"driver":"qcow2","file":{"driver":"file","filename":"a.qcow2"}}'
    info file:a.qcow2
    info foo:bar
    info /dev/null
    $mkdir d
    info d
    =create -f qcow2 -b ../a.qcow2 -F qcow2 d/b.qcow2
    =create -f qcow2 -b b.qcow2 -F qcow2 d/c.qcow2
    info d/b.qcow2
    info --output=json d/b.qcow2
    info --backing-chain d/c.qcow2
    info --backing-chain --output=json d/c.qcow2
    $rm a.qcow2
    info d/b.qcow2
    info --backing-chain d/b.qcow2
    =create x.raw 1000000
    info x.raw
    info --output=json x.raw
    info -f qcow2 x.raw
    $head -c 700 /dev/zero > tiny
    info tiny
    $touch empty
    info empty
    --foo
    foo
    ?
  `))

test('info reports every option, snapshots, bitmaps and encryption', () =>
  same(`
    =create -f qcow2 -o cluster_size=2M,extended_l2=on,lazy_refcounts=on,refcount_bits=1,compression_type=zstd y 1G
    info y
    info --output=json y
    =create -f qcow2 -o compat=0.10 y 1G
    info y
    info --output=json y
    =create -f qcow2 -o data_file=dd.raw,data_file_raw=on y 1G
    info y
    info --output=json y
    =create -f qcow2 --object secret,id=s0,data=abc -o encrypt.format=aes,encrypt.key-secret=s0 y 1M
    info y
    info --output=json y
    =create -f qcow2 y 1M
    =snapshot -c one y
    =snapshot -c "two words" y
    info y
    info --output=json y
    snapshot -l y
    =bitmap --add y b0
    =bitmap --add -g 4k y b1
    =bitmap --disable y b1
    info y
    info --output=json y
    $printf '\\000\\000\\000\\003' | dd of=y bs=1 seek=76 conv=notrunc 2>/dev/null
    info y
    info --output=json y
    =create -f qcow2 -o cluster_size=2M y 9223372036854774272
    info y
    =create -f qcow2 é\\"q 2345678
    info é\\"q
    info --output=json é\\"q
  `))
