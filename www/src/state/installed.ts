/** What the page does as an installed one: it works offline, and opens the files that the system hands to it. */

import { enterFile } from './enter'

interface LaunchQueue {
  setConsumer(consumer: (params: { files: readonly FileSystemFileHandle[] }) => void): void
}

export function beInstallable(): void {
  const { launchQueue } = window as { launchQueue?: LaunchQueue }
  launchQueue?.setConsumer(async ({ files: [handle] }) => {
    if (handle) await enterFile(await handle.getFile(), Promise.resolve(handle))
  })
  if (!import.meta.env.PROD || !('serviceWorker' in navigator)) return
  // After the page's own files, which matter more. A browser that forbids it only loses the offline use.
  window.addEventListener('load', () => navigator.serviceWorker.register('./offline.js').catch(() => {}))
}
