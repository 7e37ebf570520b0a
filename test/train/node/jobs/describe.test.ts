// What a run says of its labels: names that are safe to print, and classes that have few texts or none.
import { describe, expect, test } from 'vitest'
import { type Example } from '../../../../train/node/data/labelled.ts'
import { factsOf } from '../../../../train/node/data/statistics.ts'
import { taskText } from '../../../../train/node/jobs/fine-tune/describe.ts'
import type { Data } from '../../../../train/node/jobs/job.ts'
import type { TaskPlan } from '../../../../train/tasks/infer.ts'

/** The text for classes of these names with so many training texts each. */
function textOf(counts: Readonly<Record<string, number>>): string {
  const plan: TaskPlan = { task: 'classes', labels: Object.keys(counts), namedBy: 'data', why: 'a test' }
  const all: Example[] = Object.values(counts).flatMap((texts, target) =>
    Array.from({ length: texts }, () => ({ text: 'a', target })),
  )
  const data: Pick<Data, 'plan'> = { plan }
  return taskText(data, factsOf(all, plan))
}

describe('the classes of a run', () => {
  test('without a training text are listed, and are not called rare', () => {
    expect(textOf({ a: 5, b: 0, c: 5, d: 0 })).toBe(
      'Task: one label per text (a test)\nClasses, named by the data: a 5, b 0, c 5, d 0\n2 classes have no training text: b, d',
    )
    expect(textOf({ a: 5, b: 0, c: 5 })).toContain('1 class has no training text: b')
  })

  test('that are rare are told by the rarest that has a text', () => {
    const text = textOf({ a: 99, b: 0, c: 1 })
    expect(text).toContain('1 class has no training text: b\nOnly 1.00 % of the training texts are c: accuracy')
    expect(textOf({ a: 5, b: 5 })).not.toContain('Only')
  })

  test('that look like several labels in one are told how to be several', () => {
    expect(
      Object.entries({
        'food;long': /"food;long" are taken as one name each; .+ or --label-separator ';'$/,
        'a|b': /or --label-separator '\|'$/,
        '["a"]': /or --task labels$/,
      }).filter(([name, says]) => !says.test(textOf({ [name]: 5, [`${name}${name}`]: 5, c: 5 }))),
    ).toEqual([])
    expect(textOf({ 'a;b': 5, c: 5 })).not.toContain('Labels such as')
  })

  test('have names that stay on their line and are cut where they are long', () => {
    expect(textOf({ 'a\nb': 1, ['x'.repeat(50)]: 1 })).toContain(`: a\\nb 1, ${'x'.repeat(39)}… 1`)
  })
})
