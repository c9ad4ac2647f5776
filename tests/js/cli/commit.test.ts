import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('commit writes an overlay into its base, or into a layer below', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    =create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2
    =create -q x.raw 1M
    $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 128k' a.qcow2
    $qemu-io -c 'write -P 1 64k 64k' -c 'write -z 256k 64k' b.qcow2
    commit
    commit nope
    commit a.qcow2
    commit x.raw
    commit -f raw b.qcow2
    commit -b nope b.qcow2
    commit -b b.qcow2 b.qcow2
    commit -r x b.qcow2
    commit -t foo b.qcow2
    commit -d b.qcow2
    compare a.qcow2 b.qcow2
    commit b.qcow2
    compare a.qcow2 b.qcow2
    ~info b.qcow2
    check a.qcow2
    check b.qcow2
    commit -q b.qcow2
    commit -r 1M b.qcow2
    commit -b a.qcow2 b.qcow2
    # three layers, of different sizes
    =create -q -f qcow2 -b b.qcow2 -F qcow2 c.qcow2 2M
    =create -q -f qcow2 -b c.qcow2 -F qcow2 d.qcow2 1536k
    $qemu-io -c 'write -P 5 1M 64k' -c 'write -P 5 0 5k' c.qcow2
    $qemu-io -c 'write -P 6 1088k 64k' -c 'write -P 7 2k 1k' d.qcow2
    $cp a.qcow2 a0.qcow2 && cp b.qcow2 b0.qcow2 && cp c.qcow2 c0.qcow2
    commit -b a.qcow2 d.qcow2
    info a.qcow2 
    compare a.qcow2 d.qcow2
    ~check a.qcow2
    $cp a0.qcow2 a.qcow2
    commit d.qcow2
    compare c.qcow2 d.qcow2
    commit c.qcow2
    compare b.qcow2 c.qcow2
    ~check b.qcow2
    # a raw base
    =create -q -f qcow2 -b x.raw -F raw r.qcow2 3M
    $qemu-io -c 'write -P 5 2M 64k' -c 'write -P 5 0 5k' r.qcow2
    commit r.qcow2
    info x.raw
    compare -f raw x.raw r.qcow2
    # compressed clusters, and snapshots
    =convert -c -O qcow2 a.qcow2 p.qcow2
    =rebase -u -b a0.qcow2 -F qcow2 p.qcow2
    =snapshot -c s p.qcow2
    commit p.qcow2
    compare a.qcow2 a0.qcow2
    ~check p.qcow2
    snapshot -l p.qcow2
    =convert -l s p.qcow2 s.raw
    compare s.raw a.qcow2
  `))
