// What a test file costs: processor time, which is about the same on a busy machine as on an idle one. This module is a
// set-up file of vitest, so every test file measures its own. costs.json has the costs of all files: it orders a run,
// with the most expensive files first so that the workers end together, chooses the files of `npm run test:quick`, and
// gives the time that is left. `TEST_COSTS=record npm test` writes it.
import { afterAll } from 'vitest'
import { spentSince } from './spent.ts'

declare module 'vitest' {
  interface TaskMeta {
    /** Seconds of processor time, of the file's process and of the children that it waited for. */
    cost?: number
  }
}

// Hooks that are registered first run last.
afterAll(({}, suite) => {
  suite.meta.cost = spentSince()
})
