import { serve, type WorkerScope } from './host.js'

serve(globalThis as unknown as WorkerScope)
