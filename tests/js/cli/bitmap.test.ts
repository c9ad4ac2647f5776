import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('bitmap adds, removes, clears, enables, disables and merges', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    =create -q x.raw 1M
    =create -q -f qcow2 -o compat=0.10 v2.qcow2 1M
    $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 64k' a.qcow2
    bitmap
    bitmap a.qcow2
    bitmap a.qcow2 b0
    bitmap --add a.qcow2 b0
    bitmap --add a.qcow2 b0
    bitmap --remove a.qcow2 nope
    bitmap --clear a.qcow2 nope
    bitmap --enable a.qcow2 nope
    bitmap --disable a.qcow2 b0
    ~info a.qcow2
    bitmap --enable a.qcow2 b0
    bitmap --add -g 4k a.qcow2 b1
    bitmap --add -g 100 a.qcow2 b2
    bitmap --add -g 256 a.qcow2 b2
    bitmap --add -g 4G a.qcow2 b2
    bitmap --add -g 2G a.qcow2 b2
    bitmap --add -g x a.qcow2 b3
    bitmap -g 4k --clear a.qcow2 b1
    $qemu-io -c 'write -P 3 512k 10k' a.qcow2
    bitmap --merge b1 a.qcow2 b0
    bitmap --merge nope a.qcow2 b0
    bitmap -b a.qcow2 --clear a.qcow2 b0
    bitmap -F qcow2 --clear a.qcow2 b0
    ~info a.qcow2
    ~info --output=json a.qcow2
    ~check a.qcow2
    bitmap --add --disable a.qcow2 b5
    bitmap --add x.raw b0
    bitmap --add -f raw x.raw b0
    bitmap --add a.qcow2 ""
    bitmap --add nope b
    bitmap --add v2.qcow2 b
    bitmap --add a.qcow2 x y
    bitmap --remove a.qcow2 b0
    ~info a.qcow2
    ~check a.qcow2
    bitmap --merge b1 --merge b2 a.qcow2 b5
    bitmap --remove --add --clear a.qcow2 b5
    bitmap --add --add a.qcow2 b6
    =create -q -f qcow2 c.qcow2 1M
    =bitmap --add c.qcow2 other
    bitmap --merge b1 -b a.qcow2 -F qcow2 c.qcow2 other
    bitmap --merge b1 -b a.qcow2 -F qcow2 c.qcow2 nope
    bitmap --merge nope -b a.qcow2 c.qcow2 other
    # other commands keep the bitmaps
    snapshot -c s a.qcow2
    ~info a.qcow2
    amend -o lazy_refcounts=on a.qcow2
    ~info a.qcow2
    snapshot -d s a.qcow2
    resize a.qcow2 2M
    ~info a.qcow2
    ~check a.qcow2
    resize --shrink a.qcow2 1M
    ~info --output=json a.qcow2
    rebase -u -b x.raw -F raw a.qcow2
    ~info a.qcow2
    measure -O qcow2 a.qcow2
    $qemu-img bitmap --remove a.qcow2 b1
    ~check a.qcow2
  `))

test('convert copies bitmaps, and other commands respect them', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    =create -q x.raw 1M
    =create -q -f qcow2 -o compat=0.10 v2.qcow2 1M
    =bitmap --add -g 4k a.qcow2 b
    =bitmap --add --disable a.qcow2 d
    $qemu-io -c 'write 64k 10k' a.qcow2
    convert --bitmaps -O qcow2 x.raw o
    convert --bitmaps -O qcow2 v2.qcow2 o
    convert --bitmaps -O qcow2 a.qcow2 a.qcow2 o
    convert --bitmaps -O qcow2 a.qcow2 o
    ~info o
    ~check o
    $qemu-img bitmap --add --merge b o c
    snapshot -c s a.qcow2
    snapshot -a s a.qcow2
  `))
