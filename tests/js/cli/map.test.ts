import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('map shows every layer of a chain', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    =create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2
    =create -q -f qcow2 -b b.qcow2 -F qcow2 c.qcow2
    $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 64k' a.qcow2
    $qemu-io -c 'write -P 1 64k 64k' -c 'write -z 256k 64k' b.qcow2
    $qemu-io -c 'write -P 1 512k 3k' c.qcow2
    map a.qcow2
    map c.qcow2
    map --output=json c.qcow2
    map --output=json -s 64k -l 100k c.qcow2
    map -s 64k -l 100k c.qcow2
    map -s 64k c.qcow2
    map --start-offset=2M c.qcow2
    map --start-offset=abc c.qcow2
    map --max-length=x c.qcow2
    map --max-length=0 --output=json c.qcow2
    map --start-offset=1000 --output=json c.qcow2
    map --start-offset=1000 --max-length=1000 --output=json c.qcow2
    map
    map nope
    map -f raw a.qcow2
    map --output=json -f raw a.qcow2
    map --output=foo a.qcow2
    map --start-offset=1M --output=json c.qcow2
    map --start-offset=64E c.qcow2
    =convert -c -O qcow2 c.qcow2 d.qcow2
    map d.qcow2
    map --output=json d.qcow2
    map --start-offset=0x10000 --output=json d.qcow2
    =create x.raw 1000000
    map x.raw
    map --output=json x.raw
    $head -c 1000 /dev/urandom > k
    map --output=json k
    map k
    $mkdir s
    =create -q -f qcow2 -b ../k -F raw s/o.qcow2 2M
    map --output=json s/o.qcow2
    map s/o.qcow2
    =create -q -f qcow2 -o data_file=dd.raw s/e.qcow2 1M
    $qemu-io -c 'write 0 64k' s/e.qcow2
    map --output=json s/e.qcow2
    map s/e.qcow2
    =create -q -f qcow2 -b s/o.qcow2 -F qcow2 t.qcow2 3M
    =create -q -f qcow2 -b t.qcow2 -F qcow2 t2.qcow2 1M
    =create -q -f qcow2 -b t2.qcow2 -F qcow2 t3.qcow2 4M
    map --output=json t.qcow2
    map --output=json t2.qcow2
    map --output=json t3.qcow2
    $rm a.qcow2
    map c.qcow2
    map b.qcow2
  `))
