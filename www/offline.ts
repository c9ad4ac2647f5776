import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'vite'

/**
 * Lets the built page work without a network: a service worker keeps every file of one build. It asks the network
 * first, so that a new build appears with the next visit.
 */
export function offline(publicDir: string): Plugin {
  return {
    name: 'offline',
    apply: 'build',
    generateBundle(_, bundle) {
      const names = [...Object.keys(bundle), ...readdirSync(publicDir)].filter(isKept).sort()
      const hash = createHash('sha256')
      for (const name of readdirSync(publicDir)) hash.update(readFileSync(join(publicDir, name)))
      const version = hash.update(names.join()).digest('hex').slice(0, 12)
      this.emitFile({ type: 'asset', fileName: 'offline.js', source: serviceWorker(version, ['./', ...names]) })
    },
  }
}

/** All but the machine: it is large, and most people look at disks without starting them. */
const isKept = (name: string): boolean => !/(^|\/)(emulator|v86|bios|vgabios)/.test(name)

function serviceWorker(version: string, files: string[]): string {
  return `const PREFIX = 'qcow2-web '
const NAME = PREFIX + '${version}'
const FILES = ${JSON.stringify(files)}

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()))
})

self.addEventListener('activate', (event) => {
  const old = (name) => name.startsWith(PREFIX) && name !== NAME
  const clean = async () => Promise.all((await caches.keys()).filter(old).map((name) => caches.delete(name)))
  event.waitUntil(clean().then(() => self.clients.claim()))
})

self.addEventListener('fetch', (event) => {
  const { request } = event
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin) return
  const kept = async () => (await caches.match(request, { ignoreSearch: true, ignoreVary: true })) ?? Response.error()
  event.respondWith(fetch(request).catch(kept))
})
`
}
