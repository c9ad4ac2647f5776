import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

const put = (bytes: string, at: number) => `$printf '${bytes}' | dd of=l.qcow2 bs=1 seek=${at} conv=notrunc 2>/dev/null`

test('check reports what it finds and repairs it', () =>
  same(`
    =create -q -f qcow2 a.qcow2 1M
    =create -q x.raw 1M
    $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 64k' a.qcow2
    check
    check a.qcow2
    check --output=json a.qcow2
    check --output=foo a.qcow2
    check nope
    check -q a.qcow2
    check -r foo a.qcow2
    check -r leaks a.qcow2
    check -r all a.qcow2
    check -r
    check -f raw a.qcow2
    check -f foo a.qcow2
    check x.raw
    check --output=json x.raw
    check -U a.qcow2
    check -U -r all a.qcow2
    =create -q -f qcow2 empty.qcow2 1G
    check empty.qcow2
    check --output=json empty.qcow2
    =convert -c -O qcow2 a.qcow2 c.qcow2
    check c.qcow2
    check --output=json c.qcow2
    # a count that is too high
    $cp a.qcow2 l.qcow2
    ${put('\\000\\002', 131082)}
    check l.qcow2
    check --output=json l.qcow2
    check -q l.qcow2
    # a count that is too low
    $cp a.qcow2 l.qcow2
    ${put('\\000\\000', 131082)}
    check l.qcow2
    check --output=json l.qcow2
    # a flag that is missing
    $cp a.qcow2 l.qcow2
    ${put('\\000', 262144)}
    check l.qcow2
    # leaks only
    $cp a.qcow2 l.qcow2
    ${put('\\000\\003', 131074)}
    check l.qcow2
    check --output=json l.qcow2
    ?check -r leaks l.qcow2
    check l.qcow2
    $cp a.qcow2 l.qcow2
    ${put('\\377\\377\\377', 131074)}
    check l.qcow2
    ?check -r all --output=json l.qcow2
    check --output=json l.qcow2
    # marks
    $cp a.qcow2 l.qcow2
    ${put('\\000\\000\\000\\003', 76)}
    check l.qcow2
    check -r all l.qcow2
    ~info l.qcow2
    # a cluster of nothing
    $cp a.qcow2 l.qcow2
    $truncate -s 800k l.qcow2
    ${put('\\000\\001', 131090)}
    check l.qcow2
    check -q l.qcow2
    =create -q -f qcow2 -b nope -u -F qcow2 n.qcow2 1M
    check n.qcow2
  `))

test('check words corruptions and broken headers as qemu-img does', () => {
  const corrupted = (bytes: string, at: number, ...commands: string[]) =>
    ['$cp a.qcow2 l.qcow2', put(bytes, at), ...commands.map((each) => `${each} l.qcow2`)].join('\n')
  return same(`
    =create -q -f qcow2 a.qcow2 1M
    $qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 128k 64k' a.qcow2
    ${corrupted('\\000\\003', 131074, 'check -r leaks', 'check')}
    ${corrupted('\\200\\000\\000\\000\\020\\000\\000\\000', 262144, 'check', 'check --output=json', 'check -r leaks')}
    ${corrupted('\\200\\000\\000\\000\\000\\005\\002\\000', 262144, 'check')}
    ${corrupted('\\002', 262151, 'check')}
    ${corrupted('\\200\\000\\000\\000\\020\\000\\000\\000', 196608, 'check')}
    ${corrupted('\\000\\000\\000\\000\\020\\000\\000\\000', 65536, 'check')}
    ${corrupted('\\036', 23, 'check', 'info')}
    ${corrupted('\\010', 103, 'check', 'info')}
    ${corrupted('\\011', 35, 'check', 'info')}
    ${corrupted('\\001', 47, 'check', 'info')}
    ${corrupted('\\100', 24, 'check', 'info')}
  `)
})
