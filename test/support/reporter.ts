// Vitest's usual output, and after it what it leaves out: how far measured numbers were from those expected, why each
// skipped test was skipped, and a last line 'N passed, N failed' for whoever reads the output by machine.

import { DefaultReporter } from 'vitest/node'
import type { SerializedError, TestCase, TestModule, TestRunEndReason, TestSuite } from 'vitest/node'
import { differencesTable, type Difference } from './differences.ts'

/**
 * A file that does not load, a hook that throws and an error outside any test count as a failed test each: a run that
 * is not green never ends in '0 failed'.
 */
export class CountingReporter extends DefaultReporter {
  override onTestRunEnd(
    modules: readonly TestModule[], errors: readonly SerializedError[], reason: TestRunEndReason,
  ): void {
    super.onTestRunEnd(modules, errors, reason)
    let passed = 0
    let failed = errors.length
    const skipped: string[] = []
    const differences: Difference[] = []
    for (const module of modules) {
      for (const suite of [module, ...module.children.allSuites()]) if (suite.errors().length) failed++
      for (const test of module.children.allTests()) {
        const result = test.result()
        differences.push(...test.meta().differences ?? [])
        if (result.state === 'passed') passed++
        else if (result.state === 'skipped') {
          const reason = result.note ?? (fellWith(test) ? 'what stands before it failed' : 'no reason given')
          skipped.push(`${module.relativeModuleId} > ${test.fullName}: ${reason}`)
        } else failed++ // 'pending' too: a test that was cut off
      }
    }
    if (reason !== 'passed' && !failed) failed = 1
    const lines = [`${skipped.length} skipped`, `${passed} passed, ${failed} failed`]
    // With -t every other test is skipped, and that is reason enough.
    const named = this.ctx.config.testNamePattern === undefined && skipped.length > 0
    if (differences.length > 0) this.log(['Measured differences, and how large they may be:', '', ...differencesTable(differences), ''].join('\n'))
    this.log((named ? ['Skipped, and why:', ...skipped.map(line => `  ${line}`), ''] : []).concat(lines).join('\n'))
  }
}

/** Whether a suite around a test failed as a whole, in a hook, so that the test never ran. */
function fellWith(test: TestCase): boolean {
  let around: TestModule | TestSuite = test.parent
  while (around.type === 'suite' && !around.errors().length) around = around.parent
  return around.errors().length > 0
}
