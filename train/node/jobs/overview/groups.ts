// Groups of texts whose words and examples are compared: the classes, or what stands for them where labels are numbers.
import type { Example } from '../../data/labelled.ts'
import type { TaskPlan } from '../../../tasks/infer.ts'

export interface Groups {
  readonly names: readonly string[]
  /** The groups that a text belongs to; for labels of words, those that any of its words has. */
  of(example: Example): number[]
}

/** The groups of a task, one where there are no labels; `train` decides where numbers are divided. */
export function groupsOf({ task, labels }: TaskPlan, train: readonly Example[]): Groups {
  if (labels.length === 0) return { names: ['all texts'], of: () => [0] }
  switch (task) {
    case 'classes':
      return { names: labels, of: ({ target }) => [Number(target)] }
    case 'labels':
      return {
        names: labels,
        of: ({ target }) => (typeof target === 'number' ? [] : labels.flatMap((_, i) => (target[i] > 0.5 ? [i] : []))),
      }
    case 'tokens':
      return {
        names: labels,
        of: ({ target }) =>
          typeof target === 'number' ? [] : [...new Set(Array.from(target))].filter(tag => tag >= 0),
      }
    case 'regression': {
      const mean = train.reduce((sum, { target }) => sum + Number(target), 0) / train.length
      const shown = mean.toPrecision(4)
      return {
        names: [`up to the mean of ${shown}`, `above the mean of ${shown}`],
        of: ({ target }) => [Number(target) > mean ? 1 : 0],
      }
    }
  }
}

/** An example's label as people read it. */
export function labelText({ target }: Example, { task, labels }: TaskPlan): string {
  if (labels.length === 0) return 'no label'
  if (typeof target === 'number') return task === 'regression' ? String(target) : labels[target]
  if (task === 'labels') return labels.filter((_, i) => target[i] > 0.5).join(', ') || 'none'
  return Array.from(target, tag => (tag < 0 ? '_' : labels[tag])).join(' ')
}
