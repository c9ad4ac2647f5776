import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // Each waits often: for its browser, its server, or QEMU.
    maxWorkers: 2,
    // What only a hang reaches, on a slow machine, too.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
