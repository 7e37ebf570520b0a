// Vitest's usual output, how far the run is, and at the end what Vitest leaves out: how far measured numbers were from
// the expected ones, why each skipped test was skipped, the slowest files, and a last line 'N passed, N failed' for
// programs that read the output.

import { DefaultReporter } from 'vitest/node'
import type { SerializedError, TestCase, TestModule, TestRunEndReason, TestSpecification, TestSuite } from 'vitest/node'
import { type Costs, progress, recordCosts, recordedCosts, slowest } from './costs.ts'
import { differencesTable, type Difference } from './differences.ts'

/** Time between two lines that say how far the run is, in ms. */
const PAUSE = 10_000

/**
 * A file that does not load, a hook that throws and an error outside any test count as a failed test each: a run that
 * is not green never ends in '0 failed'.
 */
export class CountingReporter extends DefaultReporter {
  readonly #costs: Costs = recordedCosts()
  readonly #ended: string[] = []
  #all: string[] = []
  #started = 0
  #told = 0

  override onTestRunStart(specifications: readonly TestSpecification[]): void {
    super.onTestRunStart(specifications)
    this.#all = specifications.map(({ moduleId }) => this.relative(moduleId))
    this.#ended.length = 0
    this.#started = this.#told = performance.now()
  }

  override onTestModuleEnd(module: TestModule): void {
    super.onTestModuleEnd(module)
    this.#ended.push(module.relativeModuleId)
    const now = performance.now()
    if (now - this.#told < PAUSE) return
    this.#told = now
    this.log(progress(this.#costs, this.#ended, this.#all, (now - this.#started) / 1000))
  }

  override onTestRunEnd(
    modules: readonly TestModule[],
    errors: readonly SerializedError[],
    reason: TestRunEndReason,
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
        differences.push(...(test.meta().differences ?? []))
        if (result.state === 'passed') passed++
        else if (result.state === 'skipped') {
          const reason = result.note ?? (failedAround(test) ? 'a hook of its suite failed' : 'no reason given')
          skipped.push(`${module.relativeModuleId} > ${test.fullName}: ${reason}`)
        } else failed++ // 'pending' too: a test that was cut off
      }
    }
    if (reason !== 'passed' && !failed) failed = 1
    const timed = modules.map(module => ({
      file: module.relativeModuleId,
      seconds: secondsOf(module),
      cost: module.meta().cost,
    }))
    if (process.env.TEST_COSTS === 'record') {
      recordCosts(Object.fromEntries(timed.flatMap(({ file, cost }) => (cost === undefined ? [] : [[file, cost]]))))
    }
    const lines = [`${skipped.length} skipped`, `${passed} passed, ${failed} failed`]
    // With -t every other test is skipped, and that is reason enough.
    const named = this.ctx.config.testNamePattern === undefined && skipped.length > 0
    if (differences.length > 0) {
      this.log(
        ['Measured differences, and how large they may be:', '', ...differencesTable(differences), ''].join('\n'),
      )
    }
    if (timed.length > 1) this.log(['Slowest files, and their processor time:', ...slowest(timed), ''].join('\n'))
    this.log((named ? ['Skipped, and why:', ...skipped.map(line => `  ${line}`), ''] : []).concat(lines).join('\n'))
  }
}

/** How long a file took, from the start of its process. */
function secondsOf(module: TestModule): number {
  const { environmentSetupDuration, prepareDuration, collectDuration, setupDuration, duration } = module.diagnostic()
  return (environmentSetupDuration + prepareDuration + collectDuration + setupDuration + duration) / 1000
}

/** Whether a suite around a test failed as a whole, in a hook, so that the test never ran. */
function failedAround(test: TestCase): boolean {
  let around: TestModule | TestSuite = test.parent
  while (around.type === 'suite' && !around.errors().length) around = around.parent
  return around.errors().length > 0
}
