import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('snapshot lists, takes, applies and deletes', () =>
  same(`
    =create -f qcow2 a.qcow2 64M
    =create x.raw 1M
    snapshot
    snapshot a.qcow2
    snapshot -l a.qcow2
    snapshot -c s1 a.qcow2
    snapshot -c s1 a.qcow2
    snapshot -c '' a.qcow2
    snapshot -a nope a.qcow2
    snapshot -d nope a.qcow2
    snapshot -a s1 a.qcow2
    snapshot -d s1 a.qcow2
    snapshot -l a.qcow2
    snapshot -l -c x a.qcow2
    snapshot -c a -d b a.qcow2
    snapshot -l x.raw
    snapshot -c x x.raw
    ?snapshot -a x x.raw
    snapshot -d x x.raw
    snapshot -l nope
    snapshot -U -l a.qcow2
    snapshot -U -c x a.qcow2
    snapshot a.qcow2 b
    snapshot -c 2 a.qcow2
    snapshot -c 3 a.qcow2
    snapshot -l a.qcow2
    snapshot -d 2 a.qcow2
    snapshot -q -l a.qcow2
    snapshot -c aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa a.qcow2
    snapshot --list a.qcow2
    snapshot -c "name with space" a.qcow2
    snapshot -l a.qcow2
    ~info a.qcow2
    ~info --output=json a.qcow2
    ~check a.qcow2
    $qemu-io -c 'write -P 1 0 64k' a.qcow2
    snapshot -c data a.qcow2
    $qemu-io -c 'write -P 2 0 64k' a.qcow2
    snapshot -a data a.qcow2
    ~map --output=json a.qcow2
    ~info --output=json a.qcow2
  `))
