import { readerModule } from '../base/beside-reader.js'
import { glue } from '../reader/generated/glue.js'
import { type Classes, EngineModule } from './module.js'

/** The module that only reads, without encryption: a third of the whole engine. */
export const reader = /* @__PURE__ */ new EngineModule({
  // Its classes have some of the methods of the same classes in the whole engine.
  glue: glue as unknown as () => Classes,
  option: 'reader',
  path: 'dist/reader/generated/qcow2_web_reader_bg.wasm',
  address: readerModule,
})
