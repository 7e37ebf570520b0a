// How the tests run: by several processes at a time, most of which run many files (test/support/processes.ts).

import { globSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import { ALONE, GRADCHECK, OWN_PROCESS } from './test/support/processes.ts'
import { CountingReporter } from './test/support/reporter.ts'
import { CostSequencer } from './test/support/sequencer.ts'

// For the processes that run tests and all that tests start: most of what a process costs that does little is Node's work
// on its modules.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, '.cache/node')

const ALL = ['test/**/*.test.ts']

/**
 * Processes at a time: one more than there are cores, since each waits now and then for a command, a database or a page;
 * no more than memory is enough for, at 3 GB each; and at most 8, for each compiles kernels that the others have, too.
 */
const WORKERS = Math.max(1, Math.min(availableParallelism() + 1, Math.floor(totalmem() / 3e9), 8))

/** Vitest's projects for the test files that `isWanted` chooses. */
export function projects(isWanted: (file: string) => boolean = () => true): TestProjectInlineConfiguration[] {
  const filesOf = (patterns: readonly string[]): string[] =>
    globSync([...patterns])
      .map(file => file.replaceAll('\\', '/'))
      .filter(isWanted)
  const [gradcheck, own, alone] = [GRADCHECK, OWN_PROCESS, ALONE].map(filesOf)
  const others = [...gradcheck, ...own, ...alone]
  const shared = { isolate: false, setupFiles: ['test/support/warm/files.ts'] }
  return [
    { extends: true, test: { name: 'gradcheck', include: gradcheck, ...shared, env: { TEST_PIPELINES: '2000' } } },
    { extends: true, test: { name: 'own process', include: own } },
    {
      extends: true,
      test: { name: 'shared process', include: filesOf(ALL).filter(file => !others.includes(file)), ...shared },
    },
    { extends: true, test: { name: 'alone', include: alone, sequence: { groupOrder: 1 } } },
  ]
}

export default defineConfig({
  test: {
    projects: projects(),
    pool: 'forks',
    maxWorkers: WORKERS,
    // Node loads TypeScript itself, as it does for users.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    setupFiles: ['test/support/cost.ts'],
    sequence: { sequencer: CostSequencer },
    // A slow machine's compiler may take minutes for the kernels of one test.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // A process that ends first frees what it compiled.
    teardownTimeout: 60_000,
    reporters: [new CountingReporter()],
  },
})
