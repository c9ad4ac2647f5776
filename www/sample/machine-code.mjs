/** Programs for the boot sector of a PC. */

/** Where a PC puts its boot sector. */
export const org = 0x7c00
const serial = 0x3f8

/** Machine code with labels. */
export class Code {
  #bytes = []
  #labels = new Map()
  #uses = []

  emit(...bytes) {
    this.#bytes.push(...bytes)
    return this
  }

  word(value) {
    return this.emit(value & 0xff, value >> 8)
  }

  label(name) {
    this.#labels.set(name, this.#bytes.length)
    return this
  }

  /** An instruction with a distance of 16 bits. */
  jump(opcode, name) {
    this.emit(opcode)
    this.#uses.push({ at: this.#bytes.length, name, size: 2, base: this.#bytes.length + 2 })
    return this.emit(0, 0)
  }

  /** An instruction with a distance of 8 bits. */
  short(opcode, name) {
    this.emit(opcode)
    this.#uses.push({ at: this.#bytes.length, name, size: 1, base: this.#bytes.length + 1 })
    return this.emit(0)
  }

  /** Calls `name` with a value in ah. */
  call(name, value) {
    return this.emit(0xb4, value).jump(0xe8, name)
  }

  /** Prints a text. */
  print(name) {
    this.emit(0xbe)
    this.#uses.push({ at: this.#bytes.length, name, size: 2, base: -org })
    return this.emit(0, 0).jump(0xe8, 'print')
  }

  text(name, text) {
    return this.label(name).emit(...Buffer.from(`${text}\0`, 'latin1'))
  }

  /** The subroutines of `print` and `decimal`, which prints eax. */
  printing() {
    this.label('decimal')
    this.emit(0x66, 0xbb, 10, 0, 0, 0, 0x31, 0xc9)
    this.label('digit')
    this.emit(0x66, 0x31, 0xd2, 0x66, 0xf7, 0xf3, 0x52, 0x41, 0x66, 0x85, 0xc0).short(0x75, 'digit')
    this.label('next')
    this.emit(0x58, 0x04, 0x30).jump(0xe8, 'character').short(0xe2, 'next').emit(0xc3)

    // The text is at si, and ends with a zero.
    this.label('print')
    this.emit(0xac, 0x84, 0xc0).short(0x74, 'printed').jump(0xe8, 'character').short(0xeb, 'print')
    this.label('printed').emit(0xc3)

    // The character is in al. It goes to the screen and to the serial line.
    this.label('character')
    this.emit(0x50, 0x53, 0x52, 0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10, 0xba).word(serial)
    return this.emit(0xee, 0x5a, 0x5b, 0x58, 0xc3)
  }

  /** @returns {Buffer} the boot sector with this code */
  sector() {
    const sector = Buffer.alloc(512)
    this.#link().copy(sector)
    sector.writeUInt16LE(0xaa55, 510)
    return sector
  }

  #link() {
    const bytes = Buffer.from(this.#bytes)
    for (const { at, name, size, base } of this.#uses) {
      const value = this.#labels.get(name) - base
      if (size === 1) bytes.writeInt8(value, at)
      else bytes.writeUInt16LE(value & 0xffff, at)
    }
    if (bytes.length > 440) throw new Error('the code reaches into the partition table')
    return bytes
  }
}
