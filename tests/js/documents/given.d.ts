// What the examples of the documents take as given.

declare const file: File
declare const filesByName: Map<string, Blob>
declare const storage: import('qcow2-web').WritableStorage
declare const destination: WritableStream<Uint8Array>
declare const partitionTable: Uint8Array
declare const picked: FileSystemFileHandle
declare const passphrase: string
declare const another: string
declare const size: number
declare const handle: { getSize(): number; read(into: Uint8Array, options: { at: number }): number }
declare const bios: { url: string }
declare const vga_bios: { url: string }
declare const wasm_path: string
declare function show(fraction: number): void
declare function askUser(name: string | undefined): Promise<string>
declare function fetchRange(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>
