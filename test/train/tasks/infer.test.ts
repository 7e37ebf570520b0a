// What is made of labels as people have them: the task, the names of the classes, and the number of each label.
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../engine/errors.ts'
import { type InferOptions, type Label, type Labelled, inferTask, targetOf } from '../../../train/tasks/infer.ts'

const rows = (labels: readonly Label[], words?: readonly (readonly string[])[]): Labelled[] =>
  labels.map((label, i) => ({ label, where: `data.csv, row ${i + 2}`, ...(words && { words: words[i] }) }))

const understood = (labels: readonly Label[], options?: InferOptions) => {
  const examples = rows(labels)
  const plan = inferTask(examples, options)
  return { ...plan, targets: examples.map(example => targetOf(example, plan)) }
}

describe('labels of a table', () => {
  test('of words are classes, sorted', () => {
    expect(understood(['spam', 'ham', 'spam', 'eggs'])).toMatchObject({
      task: 'classes',
      labels: ['eggs', 'ham', 'spam'],
      namedBy: 'data',
      targets: [2, 1, 2, 0],
    })
  })

  test('of whole numbers are classes, by size, however they are written', () => {
    expect(understood(['10', '9', '10', '1'])).toMatchObject({
      task: 'classes',
      labels: ['1', '9', '10'],
      targets: [2, 1, 2, 0],
    })
    expect(understood(['0.0', '1.0', '0.0'])).toMatchObject({ task: 'classes', labels: ['0', '1'], targets: [0, 1, 0] })
    expect(understood([0, 1, '1', '0.0'])).toMatchObject({ labels: ['0', '1'], targets: [0, 1, 1, 0] })
  })

  test('that are nearly all numbers are names where --task says so, or where they are few', () => {
    expect(understood(['0.5', '1.5', 'NaN'], { task: 'classes' })).toMatchObject({
      task: 'classes',
      labels: ['0.5', '1.5', 'NaN'],
    })
    expect(understood(['1', '2', '3', '4', '5', '1', '2', '3', '4', 'other'])).toMatchObject({
      task: 'classes',
      why: '6 different labels',
    })
  })

  test('of whole numbers with more digits than a number keeps are not merged', () => {
    expect(understood(['9007199254740993', '9007199254740992', '9007199254740993.0'])).toMatchObject({
      labels: ['9007199254740993', '9007199254740992'],
      targets: [0, 1, 0],
    })
  })

  test('of true and false are classes', () => {
    expect(understood([true, false, true])).toMatchObject({
      task: 'classes',
      labels: ['false', 'true'],
      targets: [1, 0, 1],
    })
  })

  test('of fractions, or of many whole numbers, are a regression', () => {
    expect(understood([0.5, 1, -2])).toMatchObject({ task: 'regression', targets: [0.5, 1, -2] })
    expect(understood(Array.from({ length: 60 }, (_, i) => i))).toMatchObject({
      task: 'regression',
      why: '60 different whole numbers',
    })
    expect(understood([1, 2, 3], { task: 'regression' })).toMatchObject({ task: 'regression', targets: [1, 2, 3] })
  })

  test('that are lists are several labels at once', () => {
    const { task, labels, targets } = understood([['fun', 'long'], [], ['long']])
    expect({ task, labels }).toEqual({ task: 'labels', labels: ['fun', 'long'] })
    expect(targets.map(target => Array.from(target as ArrayLike<number>))).toEqual([
      [1, 1],
      [0, 0],
      [0, 1],
    ])
  })

  test('that are lists of one are what --task says', () => {
    expect(understood([['a'], ['b']], { task: 'classes' })).toMatchObject({
      task: 'classes',
      labels: ['a', 'b'],
      targets: [0, 1],
    })
    expect(understood([[2.5], ['3']], { task: 'regression' })).toMatchObject({ task: 'regression', targets: [2.5, 3] })
    const { task, targets } = understood([['a'], ['b']], { task: 'labels' })
    expect(task).toBe('labels')
    expect(targets.map(target => Array.from(target as ArrayLike<number>))).toEqual([
      [1, 0],
      [0, 1],
    ])
  })

  test('that are lists as long as the words are labels of tokens', () => {
    const examples = rows([['O', 'B-PER'], ['O']], [['hi', 'Ann'], ['yes']])
    const plan = inferTask(examples)
    expect(plan).toMatchObject({ task: 'tokens', labels: ['B-PER', 'O'] })
    expect(examples.map(example => Array.from(targetOf(example, plan) as ArrayLike<number>))).toEqual([[1, 0], [1]])
  })
})

describe('names of classes', () => {
  test("are the file's own, in its order, before all others", () => {
    expect(understood([0, 1, 0], { declared: ['pos', 'neg'], model: ['negative', 'positive'] })).toMatchObject({
      labels: ['pos', 'neg'],
      namedBy: 'file',
      targets: [0, 1, 0],
    })
  })

  test('are what --labels says, also for numbers that do not begin at 0', () => {
    expect(understood([1, 2, 1], { given: ['no', 'yes'] })).toMatchObject({
      labels: ['no', 'yes'],
      namedBy: 'option',
      targets: [0, 1, 0],
    })
    expect(understood([0, 1], { declared: ['pos', 'neg'], given: ['good', 'bad'] })).toMatchObject({
      labels: ['good', 'bad'],
      targets: [0, 1],
    })
    expect(understood(['b', 'a'], { given: ['b', 'a', 'c'] })).toMatchObject({
      labels: ['b', 'a', 'c'],
      targets: [0, 1],
    })
  })

  test("are the model's where they fit the data", () => {
    expect(understood(['Positive', 'negative'], { model: ['negative', 'positive'] })).toMatchObject({
      labels: ['negative', 'positive'],
      namedBy: 'model',
      targets: [1, 0],
    })
    expect(understood([0, 1, 2], { model: ['negative', 'positive'] })).toMatchObject({
      labels: ['0', '1', '2'],
      namedBy: 'data',
    })
  })
})

describe('what can not be understood names the row', () => {
  const refusal = (run: () => unknown): string => {
    try {
      run()
    } catch (error) {
      expect(error).toBeInstanceOf(UserError)
      return (error as Error).message
    }
    throw new Error('it was understood')
  }
  test.each<[string, readonly Label[], InferOptions, string]>([
    ['lists among single labels', [['a'], 'b'], {}, 'data.csv, row 3: some labels are lists and others are not'],
    [
      'lists of one label each',
      [['a'], ['b']],
      {},
      'data.csv, row 2: the label of every text is a list of one: choose --task classes',
    ],
    [
      'a list of two for one label per text',
      [['a'], ['a', 'b']],
      { task: 'classes' },
      'data.csv, row 3: --task classes takes one label',
    ],
    ['one class', ['a', 'a'], {}, 'the training examples have only the label "a"'],
    [
      'one class, though more have names',
      [1, 1],
      { declared: ['neg', 'pos'] },
      'the training examples have only the label "1"',
    ],
    [
      'a label that is not named',
      ['a', 'x'],
      { given: ['a', 'b'] },
      'data.csv, row 3: the label "x" is not one of a, b',
    ],
    [
      'a number past the declared names',
      [0, 2],
      { declared: ['a', 'b'] },
      'data.csv, row 3: the label "2" is not one of a, b',
    ],
    [
      'a word in a regression',
      ['1', 'two'],
      { task: 'regression' },
      'data.csv, row 3: the label "two" is not a number',
    ],
    [
      'single labels for labels of tokens',
      ['a', 'b'],
      { task: 'tokens' },
      'data.csv, row 2: --task tokens takes a list of labels',
    ],
    [
      'a NaN among fractions',
      ['0.5', '1.5', 'NaN'],
      {},
      '2 of 3 labels are numbers; data.csv, row 4 is "NaN": correct or remove',
    ],
    [
      'an infinite label among a few classes',
      ['0', '1', '-Infinity', '1'],
      {},
      '3 of 4 labels are numbers; data.csv, row 4 is "-Infinity"',
    ],
    [
      'a word among many whole numbers',
      [...Array.from({ length: 119 }, (_, i) => String(i)), 'n/a'],
      {},
      '119 of 120 labels are numbers; data.csv, row 121 is "n/a"',
    ],
    ['a name given twice', ['a', 'b'], { given: ['a', 'a'] }, '--labels names "a" twice'],
  ])('%s', (_, labels, options, message) => {
    expect(refusal(() => inferTask(rows(labels), options))).toContain(message)
  })

  test('a label of a test set that training did not have', () => {
    const plan = inferTask(rows(['a', 'b']))
    expect(refusal(() => targetOf({ label: 'c', where: 'test.csv, row 9' }, plan))).toBe(
      'test.csv, row 9: the label "c" is not one of a, b',
    )
  })

  test('as many labels as words are wanted', () => {
    expect(refusal(() => inferTask(rows([['a'], ['b', 'c']], [['x'], ['y']]), { task: 'tokens' }))).toBe(
      'data.csv, row 3: 2 labels for 1 words',
    )
  })
})
