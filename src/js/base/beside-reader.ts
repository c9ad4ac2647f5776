/** As `beside.ts`, for the module that only reads: in a file of its own, so that `qcow2-web/read` names no other module. */

/** The address of the engine's module that only reads. */
export function readerModule(): URL {
  return new URL('../reader/generated/qcow2_web_reader_bg.wasm', import.meta.url)
}
