import { test } from 'vitest'
import { same } from '../helpers/cli-lab.js'

const secret = '--object secret,id=s0,data=abc'
const luks = 'driver=qcow2,encrypt.key-secret=s0,file.filename=l.qcow2'
const aes = 'driver=qcow2,encrypt.key-secret=s0,file.filename=a.qcow2'

test('encrypted images are read and written with secrets', () =>
  same(`
    =create -q -f qcow2 ${secret} -o encrypt.format=aes,encrypt.key-secret=s0 a.qcow2 1M
    $qemu-io ${secret} --image-opts -c 'write -P 5 64k 64k' ${aes}
    $printf abc > pass && printf YWJj > pass64
    info a.qcow2
    check a.qcow2
    map a.qcow2
    snapshot -l a.qcow2
    convert a.qcow2 o
    check ${secret} --image-opts ${aes}
    map ${secret} --output=json --image-opts ${aes}
    map ${secret} --image-opts ${aes}
    convert ${secret} --image-opts ${aes} o
    convert --object secret,id=s0,file=pass --image-opts ${aes} o
    convert --object secret,id=s0,file=pass64,format=base64 --image-opts ${aes} o
    compare ${secret} --image-opts ${aes} driver=raw,file.filename=o
    convert --object secret,id=s1,data=abc --image-opts ${aes} o
    convert --object secret,id=s0,file=nope --image-opts ${aes} o
    convert --object foo,id=s0 --image-opts ${aes} o
    convert --object secret --image-opts ${aes} o
    snapshot -c s ${secret} --image-opts ${aes}
    resize ${secret} --image-opts ${aes} 2M
    measure ${secret} -O qcow2 --image-opts ${aes}
  `))

test('what this command encrypts, qemu-img opens, but not with another passphrase', () =>
  same(`
    create -f qcow2 ${secret} -o encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10 l.qcow2 1M
    check ${secret} --image-opts ${luks}
    =check ${secret} --image-opts ${luks}
    check --object secret,id=s0,data=wrong --image-opts ${luks}
  `))

test('amend adds and erases key slots by their numbers and passphrases', () => {
  const amend = `amend ${secret} --object secret,id=n,data=new --object secret,id=x,data=other -o`
  const add = 'encrypt.state=active,encrypt.iter-time=10,encrypt.new-secret'
  return same(`
    =create -q -f qcow2 ${secret} -o encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10 l.qcow2 1M
    ${amend} ${add}=n,encrypt.keyslot=0 --image-opts ${luks}
    ${amend} ${add}=n,encrypt.keyslot=8 --image-opts ${luks}
    ${amend} ${add}=n,encrypt.keyslot=5 --image-opts ${luks}
    ${amend} ${add}=n --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.old-secret=x --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.old-secret=n,encrypt.keyslot=0 --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.old-secret=n,encrypt.keyslot=7 --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.old-secret=n,encrypt.keyslot=5 --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.old-secret=n --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.old-secret=n --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.old-secret=s0 --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.old-secret=s0,encrypt.keyslot=0 --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.keyslot=0 --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.keyslot=3 --image-opts ${luks}
    ${amend} encrypt.state=inactive,encrypt.keyslot=9 --image-opts ${luks}
    ${amend} encrypt.state=inactive --image-opts ${luks}
    ${amend} ${add}=n,encrypt.old-secret=s0 --image-opts ${luks}
    =check ${secret} --image-opts ${luks}
  `)
}, 60_000)
