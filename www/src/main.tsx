import { effect } from '@preact/signals'
import { render } from 'preact'
import { App } from './app'
import { checkByItself } from './state/check'
import { enterAddressed } from './state/enter'
import { beInstallable } from './state/installed'
import { guardPage } from './state/leave'
import { followAddress, route } from './state/route'
import { followSnapshot, opened, shown } from './state/stage'
import { followDisk } from './state/survey'
import { apply } from './state/theme'
import { followUsage } from './state/usage'
import './style/tokens.css'
import './style/base.css'
import './style/controls.css'
import './style/frame.css'
import './style/start.css'
import './style/strip.css'
import './style/overview.css'
import './style/map.css'
import './style/hex.css'
import './style/lists.css'
import './style/files.css'

apply()
beInstallable()
followAddress()
guardPage()
followDisk()
followUsage()
checkByItself()
effect(() => {
  if (opened.value) void followSnapshot(route.value.snapshot)
})
effect(() => {
  document.title = shown.value ? `${shown.value.name} – qcow2-web` : 'qcow2-web'
})

const root = document.getElementById('app')
if (root) render(<App />, root)
const { image } = route.peek()
if (image !== null) void enterAddressed(image)
