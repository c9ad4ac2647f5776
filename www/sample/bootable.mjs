/**
 * A disk that starts a PC: its boot sector counts its starts on the disk and prints the count on the screen and the serial
 * line. It counts once more for each key, and for each byte that comes by the serial line.
 */

import { Code, org } from './machine-code.mjs'

/** Where the count is: the first four bytes of the second sector. */
export const countOffset = 512

const buffer = 0x8000
const drive = 0x0600
const serial = 0x3f8
const serialStatus = 0x3fd

/** @returns {Buffer} the boot sector */
export function bootSector() {
  const code = new Code()
  code.emit(0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc).word(org) // ds = es = ss = 0, the stack below the code
  code.emit(0x88, 0x16).word(drive) // keep the number of the drive
  code.label('count')
  code.call('transfer', 0x02) // read the second sector
  code.emit(0x66, 0xff, 0x06).word(buffer) // add one to the count
  code.call('transfer', 0x03) // write it back
  code.print('message')
  code.emit(0x66, 0xa1).word(buffer).jump(0xe8, 'decimal')
  code.print('end')

  code.label('wait')
  code.emit(0xfb, 0xf4) // sleep until an interrupt: the clock's come 18 times a second
  code.emit(0xb4, 0x01, 0xcd, 0x16).short(0x75, 'key') // is there a key?
  code.emit(0xba).word(serialStatus).emit(0xec, 0xa8, 0x01).short(0x74, 'wait') // is there a byte?
  code.emit(0xba).word(serial).emit(0xec).jump(0xe9, 'count')
  code.label('key')
  code.emit(0x31, 0xc0, 0xcd, 0x16).jump(0xe9, 'count')

  // Reads (ah = 2) or writes (ah = 3) the second sector.
  code.label('transfer')
  code.emit(0xb0, 0x01, 0xbb).word(buffer).emit(0xb9, 0x02, 0x00, 0xb6, 0x00, 0x8a, 0x16).word(drive)
  code.emit(0xcd, 0x13).short(0x72, 'failed').emit(0xc3)
  code.label('failed')
  code.print('failure')
  code.emit(0x58).jump(0xe9, 'wait') // not back to where the sector is needed

  code.printing()
  code.text('message', 'Hello from a disk of qcow2-web. Counted so far: ')
  code.text('end', '\r\n')
  code.text('failure', 'The disk reports an error.\r\n')

  return code.sector()
}
