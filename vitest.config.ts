// How the tests run: two processes at a time, each file in a process of its own, so that a WebGPU device lives and dies
// with its file, and Dawn, which is native code, never sees two test files in one process.

import { defineConfig } from 'vitest/config'
import { CountingReporter } from './test/support/reporter.ts'
import { CostSequencer } from './test/support/sequencer.ts'

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'two at a time',
          include: [
            'test/*.test.ts',
            'test/!(train)/**/*.test.ts',
            'test/train/*/**/*.test.ts',
            'test/train/!(memory).test.ts',
          ],
        },
      },
      // It measures the process's memory, which other work on the machine changes: it runs last, and alone.
      { extends: true, test: { name: 'alone', include: ['test/train/memory.test.ts'], sequence: { groupOrder: 1 } } },
    ],
    pool: 'forks',
    maxWorkers: 2,
    setupFiles: ['test/support/cost.ts'],
    sequence: { sequencer: CostSequencer },
    // A slow machine's compiler may take minutes for the kernels of one test.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    reporters: [new CountingReporter()],
  },
})
