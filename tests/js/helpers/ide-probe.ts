import { Code, org } from '../../../www/sample/machine-code.mjs'

const buffer = 0x8000
const ports = { data: 0x1f0, features: 0x1f1, device: 0x1f6, command: 0x1f7, serial: 0x3f8, serialStatus: 0x3fd }
const commands = { identify: 0xec, flush: 0xe7, setFeatures: 0xef }

/**
 * A boot sector that talks to the first drive by its registers, as a driver does. It prints words 82 and 85 of IDENTIFY as
 * `identify 82 85`. Then, for each byte from the serial line: `f` flushes the drive's cache and prints `flush` with the status,
 * `d` disables the cache, `e` enables it, and all others print the words again.
 */
export function ideProbe(): Buffer {
  const code = new Code()
  code.emit(0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc).word(org) // no interrupts; ds = es = ss = 0
  code.label('identify')
  code.emit(0xb0, 0xe0, 0xba).word(ports.device).emit(0xee) // the master
  code.emit(0xb0, commands.identify).jump(0xe8, 'command')
  code.emit(0xba).word(ports.data).emit(0xb9).word(256).emit(0xbf).word(buffer).emit(0xfc, 0xf3, 0x6d) // rep insw
  code.print('identified')
  for (const word of [82, 85]) {
    code
      .emit(0x66, 0x31, 0xc0, 0xa1)
      .word(buffer + 2 * word)
      .jump(0xe8, 'decimal')
    code.print('space')
  }
  code.print('end')
  code.label('wait')
  code.emit(0xba).word(ports.serialStatus).emit(0xec, 0xa8, 0x01).short(0x74, 'wait')
  code.emit(0xba).word(ports.serial).emit(0xec)
  for (const [letter, feature] of [
    ['d', 0x82],
    ['e', 0x02],
  ] as const) {
    code.emit(0x3c, letter.charCodeAt(0)).short(0x75, `not ${letter}`)
    code.emit(0xb0, feature, 0xba).word(ports.features).emit(0xee)
    code.emit(0xb0, commands.setFeatures).jump(0xe8, 'command').jump(0xe9, 'identify')
    code.label(`not ${letter}`)
  }
  code.emit(0x3c, 'f'.charCodeAt(0)).short(0x75, 'identify')
  code.emit(0xb0, commands.flush).jump(0xe8, 'command')
  code.emit(0x50).print('flushed').emit(0x58, 0x66, 0x0f, 0xb6, 0xc0).jump(0xe8, 'decimal') // the status, which is in al
  code.print('end').short(0xeb, 'wait')

  // Sends the command in al, and waits until the drive is not busy.
  code.label('command')
  code.emit(0xba).word(ports.command).emit(0xee)
  code.label('busy')
  code.emit(0xec, 0xa8, 0x80).short(0x75, 'busy').emit(0xc3)

  code.printing()
  code.text('identified', 'identify ').text('flushed', 'flush ').text('space', ' ').text('end', '\r\n')
  return code.sector()
}
