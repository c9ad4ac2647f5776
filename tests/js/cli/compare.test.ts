import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('compare reports where two disks differ, strictly or not', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    =create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2
    $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 64k' a.qcow2
    $qemu-io -c 'write -P 1 64k 64k' -c 'write -z 256k 64k' b.qcow2
    $cp a.qcow2 a2.qcow2
    =create -q x.raw 1M
    =create -q -f qcow2 e.qcow2 1M
    =create -q -f qcow2 e2.qcow2 2M
    =create -q -f qcow2 e4.qcow2 2M
    compare
    compare a.qcow2
    compare a.qcow2 a2.qcow2
    compare a.qcow2 b.qcow2
    compare a.qcow2 x.raw
    compare e.qcow2 x.raw
    compare -s e.qcow2 x.raw
    compare e.qcow2 e2.qcow2
    compare e2.qcow2 e.qcow2
    compare -s e.qcow2 e2.qcow2
    compare -s a.qcow2 a2.qcow2
    compare -q a.qcow2 b.qcow2
    compare -p a.qcow2 a2.qcow2
    compare -p a.qcow2 b.qcow2
    compare a.qcow2 nope
    compare nope a.qcow2
    compare -f raw a.qcow2 a2.qcow2
    compare -F raw a.qcow2 a2.qcow2
    compare a b c
    compare -f foo a.qcow2 a2.qcow2
    compare -T foo a.qcow2 a2.qcow2
    compare -T none a.qcow2 a2.qcow2
    compare --image-opts driver=qcow2,file.filename=a.qcow2 driver=qcow2,file.filename=a2.qcow2
    $qemu-io -c 'write -P 1 1536k 64k' e2.qcow2
    $qemu-io -c 'write -P 0 1536k 64k' e4.qcow2
    compare e.qcow2 e2.qcow2
    compare e.qcow2 e4.qcow2
    compare e4.qcow2 e2.qcow2
    compare -s e.qcow2 e2.qcow2
    compare a.qcow2 e2.qcow2
    compare e2.qcow2 a.qcow2
    $qemu-io -f raw -c 'write -P 0 0 1M' x.raw
    compare e.qcow2 x.raw
    compare -s e.qcow2 x.raw
    $qemu-io -c 'write -z 128k 64k' e.qcow2
    =create -q -f qcow2 e3.qcow2 1M
    compare -s e.qcow2 e3.qcow2
    compare e.qcow2 e3.qcow2
    compare -U a.qcow2 a2.qcow2
    $qemu-io -c 'write -P 3 129k 1000' a2.qcow2
    compare a.qcow2 a2.qcow2
    compare -s a.qcow2 a2.qcow2
    =convert -O qcow2 a.qcow2 plain.qcow2
    =convert -O qcow2 -c a.qcow2 packed.qcow2
    =convert -O qcow2 -o cluster_size=4k a.qcow2 small.qcow2
    =convert -O raw a.qcow2 a.raw
    compare plain.qcow2 packed.qcow2
    compare -s plain.qcow2 packed.qcow2
    compare -s plain.qcow2 a.qcow2
    compare small.qcow2 packed.qcow2
    compare -s small.qcow2 a.qcow2
    compare a.raw a.qcow2
    compare -s a.raw a.qcow2
    compare -s b.qcow2 a.qcow2
    =create -q -f qcow2 -b a.qcow2 -F qcow2 c.qcow2
    compare -s c.qcow2 a.qcow2
  `))
