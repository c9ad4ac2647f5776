import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('amend changes options and refuses others', () =>
  same(`
    =create -q -f qcow2 a.qcow2 64M
    =create -q x.raw 1M
    amend
    amend a.qcow2
    amend -o compat=0.10 a.qcow2
    ~info a.qcow2
    amend -o foo=1 a.qcow2
    amend -o lazy_refcounts=on a.qcow2
    amend -o compat=1.1,lazy_refcounts=on a.qcow2
    ~info a.qcow2
    amend -o compat=3 a.qcow2
    amend -o compat=v3 a.qcow2
    amend -o compat=x a.qcow2
    amend -o refcount_bits=8 a.qcow2
    ~info --output=json a.qcow2
    ~check a.qcow2
    amend -o refcount_bits=7 a.qcow2
    amend -o refcount_bits=128 a.qcow2
    amend -o size=32M a.qcow2
    amend -o size=128M a.qcow2
    amend -o cluster_size=128k a.qcow2
    amend -o backing_file=x.raw,backing_fmt=raw a.qcow2
    amend -o backing_fmt=raw a.qcow2
    amend -o data_file=foo a.qcow2
    amend -o data_file_raw=on a.qcow2
    amend -o encrypt.state=active a.qcow2
    amend -o lazy_refcounts=off a.qcow2
    amend -o x.raw
    amend -o size=1M x.raw
    amend -o compat=0.10 nope
    amend -o refcount_bits=16 a.qcow2
    amend -p -o compat=1.1 a.qcow2
    amend -f raw -o size=1 a.qcow2
    amend -o help a.qcow2
    amend -o "?" a.qcow2
    amend -f qcow2 -o help
    amend -f raw -o help
    amend -f foo -o help
    amend -o help
    amend -o compat=1.1 a b
    =snapshot -c s a.qcow2
    amend -o compat=0.10 a.qcow2
    ~info a.qcow2
    amend -t foo -o compat=1.1 a.qcow2
    amend -t none -o compat=1.1 a.qcow2
    amend -q -o compat=1.1 a.qcow2
    =create -q -f qcow2 -o data_file=dd d.qcow2 1M
    amend -o data_file=ee d.qcow2
    $mv dd ee
    info d.qcow2
  `))
