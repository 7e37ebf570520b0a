// What a test file costs: processor time, which is about the same on a busy machine as on an idle one. This module is a
// set-up file of vitest, so every test file measures its own. costs.json has the costs of all files: it orders a run,
// with the most expensive files first so that the workers end together, chooses the files of `npm run test:quick`, and
// gives the time that is left. `TEST_COSTS=record npm test` writes it.
import { readFileSync } from 'node:fs'
import { afterAll } from 'vitest'

declare module 'vitest' {
  interface TaskMeta {
    /** Seconds of processor time, of the file's process and of the children that it waited for. */
    cost?: number
  }
}

/** Seconds of processor time so far, of this process and, on Linux, of its children that have ended. */
function spent(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6 + childrenSpent()
}

function childrenSpent(): number {
  if (process.platform !== 'linux') return 0
  // Fields 3 and up follow the name, which may contain spaces. 16 and 17 are the children's, in hundredths of a second.
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) / 100
}

// Hooks that are registered first run last.
afterAll(({}, suite) => {
  suite.meta.cost = spent()
})
