import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('resize grows and shrinks, absolutely and by an amount', () =>
  same(`
    =create -f qcow2 a.qcow2 64M
    =create x.raw 1M
    resize
    resize a.qcow2
    resize a.qcow2 128M
    resize a.qcow2 +1M
    resize a.qcow2 -1M
    resize --shrink a.qcow2 -1M
    resize a.qcow2 64M
    resize --shrink a.qcow2 64M
    resize a.qcow2 64M
    resize a.qcow2 abc
    resize a.qcow2 +abc
    resize nope 1M
    resize --preallocation=foo a.qcow2 70M
    resize --preallocation=metadata a.qcow2 70M
    ~info a.qcow2
    resize --preallocation=full a.qcow2 71M
    ~info a.qcow2
    resize -q a.qcow2 73M
    resize --preallocation=full --shrink a.qcow2 64M
    resize --shrink a.qcow2 -1G
    resize a.qcow2 0
    resize --shrink a.qcow2 0
    resize a.qcow2 1000
    resize a.qcow2 64E
    resize a.qcow2 9000000T
    resize -f raw x.raw 2M
    resize x.raw 3M
    resize --shrink x.raw 1M
    resize --preallocation=metadata -f raw x.raw 4M
    info x.raw
    resize a.qcow2 1 2
    resize +1M a.qcow2
    resize -f qcow2 x.raw 1M
    resize a.qcow2 66000001
    resize a.qcow2 +1000
    ~info a.qcow2
    =create -q -f qcow2 -o compat=0.10 v2.qcow2 4M
    =snapshot -c s v2.qcow2
    resize v2.qcow2 8M
    resize --image-opts driver=qcow2,file.filename=a.qcow2 100M
    ~info a.qcow2
    ~map --output=json a.qcow2
    resize a.qcow2 3P
  `))
