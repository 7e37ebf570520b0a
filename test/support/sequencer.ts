// The order of a run's files: the most expensive first, so that workers end together.
import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { costOf, recordedCosts } from './costs.ts'

export class CostSequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const costs = recordedCosts()
    const { root } = this.ctx.config
    const cost = ({ moduleId }: TestSpecification): number =>
      costOf(costs, relative(root, moduleId).replaceAll('\\', '/'))
    return files.toSorted((a, b) => cost(b) - cost(a))
  }
}
