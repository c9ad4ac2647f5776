/**
 * The script of a worker in which the engine runs. Import it in the script of a worker of your own, to give that to
 * {@link WorkerOptions.worker}; it ignores all other messages of such a worker.
 *
 * @packageDocumentation
 */
import { serve, type WorkerScope } from './serve.js'

serve(globalThis as unknown as WorkerScope)
