export declare const org: number
export declare class Code {
  emit(...bytes: number[]): this
  word(value: number): this
  label(name: string): this
  jump(opcode: number, name: string): this
  short(opcode: number, name: string): this
  call(name: string, value: number): this
  print(name: string): this
  text(name: string, text: string): this
  printing(): this
  sector(): Buffer
}
