import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('dd copies blocks', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 64k' a.qcow2
    dd
    dd if=a.qcow2 of=o
    ~info o
    compare a.qcow2 o
    dd if=a.qcow2 of=o bs=1k count=3 skip=1
    info o
    dd -O qcow2 if=a.qcow2 of=o bs=64k
    ~info o
    ~map --output=json o
    dd if=a.qcow2
    dd of=o
    dd foo=1
    dd if=a.qcow2 of=o bs=0
    dd if=a.qcow2 of=o bs=x
    dd if=a.qcow2 of=o count=x
    dd if=a.qcow2 of=o skip=x
    dd if=a.qcow2 of=o count=1k bs=1
    info o
    dd if=nope of=o
    dd foo
    dd -f raw -O raw if=a.qcow2 of=o
    dd if=a.qcow2 of=o conv=x
    dd -O foo if=a.qcow2 of=o
    dd if=a.qcow2 of=o bs=3000 skip=7
    info o
    dd if=a.qcow2 of=o bs=1M skip=2
    info o
  `))
