import { readerModule } from '../base/beside-reader.js'
import { glue } from '../reader/generated/glue.js'
import { type Classes, EngineModule } from './module.js'

/** The module that only reads, without encryption: a third of the whole engine. */
export const reader = /* @__PURE__ */ new EngineModule({
  // The same classes, of which it has some methods.
  glue: glue as unknown as () => Classes,
  option: 'reader',
  path: 'dist/reader/generated/qcow2_web_reader_bg.wasm',
  address: readerModule,
})
