import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

test('create checks its arguments as qemu-img does', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    create
    create x
    create -f qcow2 x
    create -f qcow2 x 1Q
    create -f qcow2 x abc
    create -f qcow2 x -1
    create -f qcow2 x 1M 2M
    create -f foo x 1M
    create -f qcow2 -o foo=1 x 1M
    create -f qcow2 -o cluster_size=1000 x 1M
    create -f qcow2 -o cluster_size=foo x 1M
    create -f qcow2 -o compat=2 x 1M
    create -f qcow2 -o lazy_refcounts=maybe x 1M
    create --foo
    create -Z
    create -f
    create --format
    create -f qcow2 -b nope.qcow2 -F qcow2 x
    create -f qcow2 -b nope.qcow2 x 1M
    create -f qcow2 -b a.qcow2 x 1M
    create -f qcow2 -b nope.qcow2 -F qcow2 x 1M
    create -f qcow2 -u -b nope.qcow2 -F qcow2 x 1M
    create -f qcow2 -u -b nope.qcow2 -F qcow2 x2
    create -f qcow2 -u -b nope.qcow2 x 1M
    create -f qcow2 -b '' -F qcow2 x 1M
    create -f qcow2 -b x -F qcow2 x 1M
    create -f qcow2 -b a.qcow2 -F foo x 1M
    create -F qcow2 x 1M
    create -f raw -b a.qcow2 -F qcow2 x 1M
    create -f raw -o cluster_size=1k x 1M
    create -f qcow2 -o size=1M x
    create -f qcow2 -o size=1M x 2M
    create -f qcow2 -o preallocation=foo x 1M
    create -q -f qcow2 x 1M
    create -f qcow2 x 1.5M
    create -f qcow2 x 1000
    info x
    create -f qcow2 x 0x10000
    create x 1.1k
    info x
    create x 1000
    create x 0x
    create x 1.5
    create x .5k
    create x 1e3
    create x " 1k"
    create x +1k
    create x 08
    create x 1kB
    create x 1.9999k
    create -f qcow2 -o help
    create -f qcow2 -o help x
    create -o help
    create -o '?'
    create -f foo -o help
    create -f qcow2 -o compat=0.10,refcount_bits=1 y 1G
    create -f qcow2 -o compat=0.10,lazy_refcounts=on y 1G
    create -f qcow2 -o compat=0.10,extended_l2=on y 1G
    create -f qcow2 -o extended_l2=on,cluster_size=4k y 1G
    create -f qcow2 -o compat=0.10,compression_type=zstd y 1G
    create -f qcow2 -o compression_type=foo y 1G
    create -f qcow2 -o refcount_bits=3 y 1G
    create -f qcow2 -o refcount_bits=128 y 1G
    create -f qcow2 -o refcount_bits=x y 1G
    create -f qcow2 -o data_file_raw=on y 1G
    create -f qcow2 -o backing_file=a.qcow2,backing_fmt=qcow2,data_file=dd.raw,data_file_raw=on y 1G
    create -f qcow2 -o preallocation=metadata,backing_file=a.qcow2,backing_fmt=qcow2 y 1M
    create -f qcow2 -o encryption=on y 1M
    create -f qcow2 -o encrypt.format=luks y 1M
    create -f qcow2 -o encrypt.format=luks,encrypt.key-secret=s0 y 1M
    create -f qcow2 -o encrypt.format=foo,encrypt.key-secret=s0 y 1M
    create -f qcow2 y 64E
    create -f qcow2 y 4P
    create -o preallocation=metadata y 1M
    create -f raw -o nocow=on y 1M
    create -f qcow2 -o nocow=on,extent_size_hint=1M y 1M
    create /nonexistent/x 1M
    create -f qcow2 /nonexistent/x 1M
  `))

test('what create makes is what qemu-img makes', () =>
  same(`
    =create -q -f qcow2 base.qcow2 3M
    ${[
      '-f qcow2 a 64M',
      '-f qcow2 a 0',
      'a 0',
      'a 1M',
      '-f qcow2 a 10T',
      '-f qcow2 -o cluster_size=512 a 1G',
      '-f qcow2 -o cluster_size=4k a 1G',
      '-f qcow2 -o cluster_size=2M,extended_l2=on,lazy_refcounts=on,refcount_bits=1,compression_type=zstd a 1G',
      '-f qcow2 -o compat=0.10 a 1G',
      '-f qcow2 -o compat=v3,refcount_bits=64 a 1G',
      '-f qcow2 -o data_file=dd.raw a 1G',
      '-f qcow2 -b base.qcow2 -F qcow2 a',
      '-f qcow2 -b base.qcow2 -F qcow2 a 10M',
      '-f qcow2 -b base.qcow2 -F raw a',
      '-f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2 a',
      '-f qcow2 --object secret,id=s0,data=abc -o encrypt.format=aes,encrypt.key-secret=s0 a 1M',
      '-o preallocation=full a 1M',
      '-f qcow2 -o preallocation=off a 1M',
    ]
      .map((each) => `create ${each}\ninfo a\ninfo --output=json a\ncheck a\nmap --output=json a`)
      .join('\n')}
  `))
