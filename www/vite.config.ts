import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'
import { offline } from './offline.ts'
import { policyOf } from './policy.ts'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/**
 * Gives the documents of the built page their policy, and sends it with every file when the built page is served from here: the
 * workers have it from that alone. Not in development, where Vite injects styles and a socket of its own.
 */
function contentSecurityPolicy(): Plugin {
  let built = false
  return {
    name: 'content-security-policy',
    configResolved: ({ command }) => {
      built = command === 'build'
    },
    transformIndexHtml: (_, { path }) =>
      built
        ? [
            {
              tag: 'meta',
              attrs: { 'http-equiv': 'Content-Security-Policy', content: policyOf(path) },
              injectTo: 'head-prepend',
            },
          ]
        : [],
    configurePreviewServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        const { pathname } = new URL(request.url ?? '/', 'http://localhost')
        response.setHeader('Content-Security-Policy', policyOf(pathname))
        next()
      })
    },
  }
}

export default defineConfig({
  root: at('.'),
  base: './',
  plugins: [contentSecurityPolicy(), offline(at('public'))],
  resolve: {
    alias: [
      { find: /^qcow2-web$/, replacement: at('../dist/index.js') },
      { find: /^qcow2-web\/v86$/, replacement: at('../dist/hosts/v86.js') },
      { find: /^qcow2-web\/files$/, replacement: at('../dist/files/index.js') },
    ],
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    outDir: 'dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    rollupOptions: { input: [at('index.html'), at('emulator/index.html')] },
  },
  server: { fs: { allow: [at('..')] } },
})
