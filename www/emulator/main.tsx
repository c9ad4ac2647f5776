import { render } from 'preact'
import { apply } from '../src/state/theme'
import { askOpener, namedSource } from './given'
import { EmulatorPage } from './page'
import '../src/style/tokens.css'
import '../src/style/base.css'
import '../src/style/controls.css'
import '../src/style/frame.css'
import '../src/style/lists.css'
import './style.css'

apply()
const root = document.getElementById('app')
if (root) render(<EmulatorPage given={namedSource(location.hash) ?? askOpener()} />, root)
