// The order of a run's files: project by project, since a process that runs several files ends when the next one is of
// another project; of each project the most expensive first, so that workers end together.
import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { costOf, recordedCosts } from './costs.ts'

export class CostSequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const costs = recordedCosts()
    const { root } = this.ctx.config
    const cost = ({ moduleId }: TestSpecification): number =>
      costOf(costs, relative(root, moduleId).replaceAll('\\', '/'))
    const projects = this.ctx.projects.map(({ name }) => name)
    const place = ({ project }: TestSpecification): number => projects.indexOf(project.name)
    return files.toSorted((a, b) => place(a) - place(b) || cost(b) - cost(a))
  }
}
