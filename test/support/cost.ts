// What a test file costs: processor time, which says the same on a busy machine and on an idle one. Each file measures its own (this
// module is set up before every file), and costs.json keeps what all of them took: it puts the most expensive files first, so that all
// workers end together, names those of `npm run test:quick`, and tells how much of a run is left. `TEST_COSTS=record npm test`
// writes it.
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
  // After the name, which may hold spaces: fields 3 and up. 16 and 17 are the children's, in hundredths of a second.
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) / 100
}

// Hooks that are registered first run last.
afterAll(({}, suite) => {
  suite.meta.cost = spent()
})
