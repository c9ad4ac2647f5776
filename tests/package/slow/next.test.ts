import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { install } from '../../js/helpers/package.js'
import {
  add,
  base64,
  browse,
  completeWithFiles,
  expected,
  Program,
  program,
  programWithFiles,
  tourOn,
  write,
} from '../lab.js'

const next = ['node_modules/next/dist/bin/next']
const env = { NEXT_TELEMETRY_DISABLED: '1' }
/** Each of them runs while a request is answered. */
const app = {
  'app/layout.js': 'export default ({ children }) => <html lang="en"><body>{children}</body></html>',
  'app/page.js': `'use client'
    import { useEffect } from 'react'
    import { tour } from '../main.js'
    export default function Page() {
      useEffect(() => {
        globalThis.tour = tour
      })
      return null
    }`,
  'app/component/page.js': `import { tour } from '../../main.js'
    export const dynamic = 'force-dynamic'
    export default async () => <pre>{btoa(JSON.stringify(await tour('${base64}')))}</pre>`,
  'app/handler/route.js': `import { tour } from '../../main.js'
    export const dynamic = 'force-dynamic'
    export const GET = async () => Response.json(await tour('${base64}'))`,
  'main.js': programWithFiles,
  'tour.js': program('qcow2-web'),
}
/** What there is in Node: no workers of browsers, and no file system of the origin. */
const onServer = { open: expected, files: '1' }
let folder = ''
let browser: Browser

beforeAll(async () => {
  folder = install()
  add(folder, 'next@16', 'react@19', 'react-dom@19')
  write(folder, app)
  browser = await browse()
})

afterAll(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true, force: true })
})

async function component(url: string): Promise<unknown> {
  const html = await (await fetch(`${url}/component`)).text()
  return JSON.parse(atob(/<pre>(.*?)<\/pre>/.exec(html)?.[1] ?? ''))
}

async function handler(url: string): Promise<unknown> {
  return (await fetch(`${url}/handler`)).json()
}

describe.each([
  ['built by Turbopack', ['build'], 'start'],
  ['built by webpack', ['build', '--webpack'], 'start'],
  ['while it is developed', undefined, 'dev'],
])('Next 16, %s', (_, build, command) => {
  it('needs no configuration on the client, in a server component, and in a route handler', async () => {
    if (build) {
      execFileSync(process.execPath, [...next, ...build], {
        cwd: folder,
        env: { ...process.env, ...env, NODE_ENV: 'production' },
        stdio: 'pipe',
      })
    }
    const server = await Program.start(folder, [...next, command, '-H', '127.0.0.1', '-p', '0'], env)
    try {
      expect(await tourOn(browser, server.url)).toEqual(completeWithFiles)
      expect(await component(server.url)).toMatchObject(onServer)
      expect(await handler(server.url)).toMatchObject(onServer)
    } finally {
      server.close()
    }
  })
})
