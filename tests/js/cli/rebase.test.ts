import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('rebase puts an image over another backing file', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    =create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2
    =create -q x.raw 1M
    $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 64k' a.qcow2
    $cp a.qcow2 a2.qcow2
    $qemu-io -c 'write -P 9 128k 64k' -c 'write -P 9 900k 64k' a2.qcow2
    $qemu-io -c 'write -P 1 64k 64k' -c 'write -z 256k 64k' b.qcow2
    =convert -O raw b.qcow2 b.raw
    rebase
    rebase b.qcow2
    rebase -b nope b.qcow2
    rebase -u -b nope b.qcow2
    rebase -u -b nope -F qcow2 b.qcow2
    info b.qcow2
    rebase -b a.qcow2 -F qcow2 b.qcow2
    rebase -u -b a.qcow2 -F qcow2 b.qcow2
    rebase -b a2.qcow2 b.qcow2
    rebase -b a2.qcow2 -F qcow2 b.qcow2
    compare b.qcow2 b.raw
    ~map --output=json b.qcow2
    ~check b.qcow2
    info --backing-chain b.qcow2
    rebase -b a2.qcow2 -F qcow2 b.qcow2
    rebase -b '' b.qcow2
    compare b.qcow2 b.raw
    ~map --output=json b.qcow2
    rebase -b '' b.qcow2
    rebase -b a.qcow2 -F qcow2 b.qcow2
    compare b.qcow2 b.raw
    ~map --output=json b.qcow2
    rebase -u b.qcow2
    ~info b.qcow2
    rebase -b a.qcow2 x.raw
    rebase -b a.qcow2 -F foo b.qcow2
    rebase -u -b a.qcow2 -F foo b.qcow2
    rebase -c -b a2.qcow2 -F qcow2 b.qcow2
    rebase -t foo -b a2.qcow2 -F qcow2 b.qcow2
    # a chain: down to a deeper layer, and over sizes that differ
    =create -q -f qcow2 -b a.qcow2 -F qcow2 c.qcow2 512k
    =create -q -f qcow2 -b c.qcow2 -F qcow2 d.qcow2 2M
    =create -q -f qcow2 -b d.qcow2 -F qcow2 e.qcow2 3M
    $qemu-io -c 'write -P 5 64k 64k' c.qcow2
    $qemu-io -c 'write -P 6 1M 64k' -c 'write -z 128k 64k' d.qcow2
    $qemu-io -c 'write -P 7 2560k 64k' e.qcow2
    =convert -O raw e.qcow2 e.raw
    rebase -b c.qcow2 -F qcow2 e.qcow2
    compare e.qcow2 e.raw
    ~map --output=json e.qcow2
    rebase -b a.qcow2 -F qcow2 e.qcow2
    compare e.qcow2 e.raw
    ~map --output=json e.qcow2
    rebase -b d.qcow2 -F qcow2 e.qcow2
    compare e.qcow2 e.raw
    rebase -c -b '' e.qcow2
    compare e.qcow2 e.raw
    ~map --output=json e.qcow2
    ~check e.qcow2
    # a directory
    $mkdir s
    =create -q -f qcow2 -b ../a.qcow2 -F qcow2 s/f.qcow2
    rebase -b ../a2.qcow2 -F qcow2 s/f.qcow2
    info s/f.qcow2
    compare s/f.qcow2 a.qcow2
  `))
