#!/usr/bin/env node
import { readFileSync, writeSync } from 'node:fs'
import type { Host } from './host.js'
import { provideWorkers } from './node-worker.js'
import { run } from './run.js'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  readonly version: string
}

/** Writes all of a text, also to a pipe that is full. */
function write(file: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(file, bytes, done)
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === 'EPIPE') process.exit(1)
      if (code !== 'EAGAIN') throw error
    }
  }
}

const host: Host = {
  cwd: process.cwd(),
  out: (text) => write(1, text),
  err: (text) => write(2, text),
  onProgressRequest(report) {
    process.on('SIGUSR1', report)
    return () => process.off('SIGUSR1', report)
  },
}

provideWorkers()
process.exitCode = await run(process.argv.slice(2), host, version)
