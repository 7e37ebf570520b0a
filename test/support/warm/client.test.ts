// What happens to a command that does not end, or whose process ends, and to those that wait for it.
import { expect, test } from 'vitest'
import { type Request, runWarm } from './client.ts'

const request = (...args: string[]): Request => ({
  ...{ script: 'tilegrad', args, cwd: import.meta.dirname, env: process.env, input: '' },
})

test('a command that takes too long is killed and named, and the next runs', async () => {
  const stuck = runWarm(request('overview', '--help'), 1)
  const next = runWarm(request('--version'))
  await expect(stuck).rejects.toThrow('overview --help: killed, since it had not ended after 0.001 s (SIGKILL)')
  expect(await next).toMatchObject({ status: 0, stderr: '' })
})
