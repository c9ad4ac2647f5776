// What the examples in the sources take as given, beside what those of the documents do.

declare const image: import('qcow2-web').Qcow2
declare const copy: import('qcow2-web').Disk
declare const disk: import('qcow2-web').Disk
declare const base: import('qcow2-web').Qcow2
declare const local: Blob
declare const list: import('qcow2-web').PrefetchList
declare const volume: import('qcow2-web/files').Volume
declare const disks: import('qcow2-web/infinite-mac').InfiniteMacDisk[]
declare const Module: { readonly FS: import('qcow2-web/emscripten').EmscriptenFs }
declare function ask(question: string): void
declare function warn(words: string): void
declare function writeFile(name: string, bytes: Uint8Array): Promise<void>

interface WindowEventMap {
  fetch: Event & { readonly request: Request; respondWith(answer: Promise<Response>): void }
}
