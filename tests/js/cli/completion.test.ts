import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { here } from '../helpers/cli-lab.js'

test('bash completes commands, options and files', async () => {
  const { out, code } = await here('completion bash', '/')
  expect(code).toBe(0)
  const complete = (...words: string[]) => {
    const script = `${out}\nCOMP_WORDS=(qcow2-web ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _qcow2_web; echo "\${COMPREPLY[@]}"`
    return spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim()
  }
  expect(complete('com')).toBe('commit compare completion')
  expect(complete('convert', '--sp')).toBe('--sparse-size')
  expect(complete('info', '/etc/host')).toContain('/etc/host')
})

test('other shells have their own, and unknown ones are refused', async () => {
  expect((await here('completion zsh', '/')).out).toContain('bashcompinit')
  expect((await here('completion fish', '/')).out).toContain('complete -c qcow2-web')
  expect((await here('completion tcsh', '/')).code).toBe(1)
})
