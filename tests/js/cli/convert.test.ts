import { test } from 'vitest'
import { lab, same } from '../helpers/cli-lab.js'

const sources = `
  =create -q -f qcow2 a.qcow2 3M
  =create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2
  =create -q x.raw 1M
  $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 64k' -c 'write -P 7 1000k 5k' -c 'write -P 0 2M 128k' a.qcow2
  $qemu-io -c 'write -P 3 64k 10k' -c 'write -z 128k 64k' b.qcow2
  $qemu-io -f raw -c 'write -P 5 4k 100k' x.raw
  =snapshot -c s1 a.qcow2
  $qemu-io -c 'write -P 4 512k 64k' a.qcow2`

test('convert checks its arguments as qemu-img does', () =>
  same(`${sources}
    convert
    convert a.qcow2
    convert nope o
    convert -O foo a.qcow2 o
    convert -c a.qcow2 o
    convert -O qcow2 -o foo=1 a.qcow2 o
    convert -l nope a.qcow2 o
    convert -l snapshot.foo=1 a.qcow2 o
    convert -l s1 x.raw o
    convert -O qcow2 -B a.qcow2 b.qcow2 o
    convert -O qcow2 -o backing_file=a.qcow2 b.qcow2 o
    convert -O qcow2 -B nope -F qcow2 b.qcow2 o
    convert -B a.qcow2 -F qcow2 b.qcow2 o
    convert -n -O qcow2 a.qcow2 nope
    convert --target-is-zero a.qcow2 o
    convert -S abc a.qcow2 o
    convert -S 100 a.qcow2 o
    convert -S 32M a.qcow2 o
    convert -m 0 a.qcow2 o
    convert -m 17 a.qcow2 o
    convert --bitmaps a.qcow2 o
    convert --skip-broken-bitmaps a.qcow2 o
    convert -l s1 a.qcow2 x.raw o
    convert -C -S 1k a.qcow2 o
    convert -C -c -O qcow2 a.qcow2 o
    convert -n -o foo=1 a.qcow2 o
    convert -t foo a.qcow2 o
    convert -T foo a.qcow2 o
    convert -O qcow2 --target-image-opts a.qcow2 o
    convert -O qcow2 a.qcow2 /nonexist/x
    convert -o help -O qcow2
    convert -O qcow2 -o help a.qcow2 o
    convert -r x a.qcow2 o
    convert -O qcow2 -o cluster_size=1000 a.qcow2 o
    $truncate -s 512k small.raw
    convert -n a.qcow2 small.raw
    convert -q -p a.qcow2 o
  `))

const targets: readonly string[] = [
  'a.qcow2 o',
  'b.qcow2 o',
  'x.raw o',
  '-f raw a.qcow2 o',
  '-l s1 a.qcow2 o',
  '-l snapshot.name=s1 a.qcow2 o',
  '-l snapshot.id=1 a.qcow2 o',
  'a.qcow2 x.raw o',
  '-S 0 a.qcow2 o',
  '-S 64k a.qcow2 o',
  '-m 4 -W a.qcow2 o',
  '-C a.qcow2 o',
  '-r 100M a.qcow2 o',
  '--salvage a.qcow2 o',
  '-U a.qcow2 o',
  '-t none -T none a.qcow2 o',
  '--image-opts driver=qcow2,file.filename=a.qcow2 o',
  '-O qcow2 a.qcow2 o',
  '-O qcow2 b.qcow2 o',
  '-O qcow2 x.raw o',
  '-O qcow2 a.qcow2 b.qcow2 o',
  '-O qcow2 -c a.qcow2 o',
  '-O qcow2 -c -o compression_type=zstd a.qcow2 o',
  '-O qcow2 -c -o cluster_size=4k b.qcow2 o',
  '-O qcow2 -o cluster_size=512 a.qcow2 o',
  '-O qcow2 -o cluster_size=2M,extended_l2=on a.qcow2 o',
  '-O qcow2 -o compat=0.10 a.qcow2 o',
  '-O qcow2 -o size=2M a.qcow2 o',
  '-O qcow2 -S 0 a.qcow2 o',
  '-O qcow2 -B a.qcow2 -F qcow2 b.qcow2 o',
  '-O qcow2 -o backing_file=a.qcow2,backing_fmt=qcow2 b.qcow2 o',
  '-O qcow2 -c -B a.qcow2 -F qcow2 b.qcow2 o',
  '-O qcow2 -o data_file=o.data a.qcow2 o',
]

test('convert makes what qemu-img makes, with every option', async () => {
  const directories = lab()
  await same(sources, directories)
  const script = targets.map((options) => {
    const maps = /cluster_size=(512|2M)|qcow2 -S 0/.test(options) ? '' : '~map --output=json o'
    const source = options.split(' ').find((each) => each.includes('.') && !/=|^a.qcow2$/.test(each)) ?? 'a.qcow2'
    const isCopy = !/-l|-f raw|-B|backing|a.qcow2 [bx]/.test(options)
    return `
      convert ${options}
      ~info o
      ${maps}
      ~check o
      compare ${source} o
      ${isCopy ? `$qemu-img compare ${source} o` : ''}
      $rm o`
  })
  await same(script.join(''), directories)
})

test('convert writes into an image that exists', () =>
  same(`${sources}
    =create -q -f qcow2 t.qcow2 4M
    $qemu-io -c 'write -P 9 0 4M' t.qcow2
    convert -n -O qcow2 a.qcow2 t.qcow2
    ~map --output=json t.qcow2
    compare a.qcow2 t.qcow2
    $dd if=/dev/urandom of=t.raw bs=1M count=3 2>/dev/null
    convert -n a.qcow2 t.raw
    compare a.qcow2 t.raw
    =create -q -f qcow2 z.qcow2 3M
    convert -n -O qcow2 --target-is-zero a.qcow2 z.qcow2
    ~map --output=json z.qcow2
    convert -n --target-image-opts a.qcow2 driver=raw,file.filename=t.raw
    compare a.qcow2 t.raw
  `))
