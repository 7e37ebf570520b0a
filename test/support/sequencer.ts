// The order of a run's files: those with a process of their own first, since a process that runs several files ends when
// the next one is of another kind; of each kind the most expensive first, so that workers end together.
import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { costOf, recordedCosts } from './costs.ts'

export class CostSequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const costs = recordedCosts()
    const { root } = this.ctx.config
    const cost = ({ moduleId }: TestSpecification): number =>
      costOf(costs, relative(root, moduleId).replaceAll('\\', '/'))
    const isShared = ({ project }: TestSpecification): number => Number(!project.config.isolate)
    return files.toSorted((a, b) => isShared(a) - isShared(b) || cost(b) - cost(a))
  }
}
