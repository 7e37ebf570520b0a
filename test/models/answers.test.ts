// tilegrad.json: what is written is read again, and what is wrong is said in plain words.
import { expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { type Answers, answersJson, parseAnswers } from '../../models/answers.ts'

const answers: Answers = {
  problem: 'single_label_classification',
  labels: ['a', 'b'],
  maxLength: 64,
  window: 8,
  pairs: true,
  temperature: 2,
  thresholds: [0.4, 0.6],
}

test('is read as it was written, with what older files lack left out', () => {
  const json = JSON.parse(JSON.stringify(answersJson(answers)))
  expect(parseAnswers(json, 'f')).toEqual(answers)
  expect(parseAnswers({ problem_type: 'regression', labels: ['x'], max_length: 8 }, 'f')).toEqual({
    problem: 'regression',
    labels: ['x'],
    maxLength: 8,
  })
})

test.each<[object, string]>([
  [
    { problem_type: 'ranking' },
    'problem_type: expected one of "single_label_classification", "multi_label_classification", "regression", ' +
      '"token_classification", found "ranking"',
  ],
  [{ max_length: 2 }, 'max_length: must be at least 3'],
  [{ max_length: 2.5 }, 'max_length: expected a whole number, found 2.5'],
  [{ max_length: undefined }, 'max_length: missing'],
  [{ labels: [] }, 'labels: must have at least 1 entries'],
  [{ labels: ['a', 3] }, 'labels.1: expected a string, found 3'],
  [{ thresholds: [0.5, 1.5] }, 'thresholds.1: must be at most 1'],
  [{ temperature: 0 }, 'temperature: must be more than 0'],
  [{ pairs: 'yes' }, 'pairs: expected true or false, found "yes"'],
])('%j is refused', (changes, message) => {
  expect(() => parseAnswers({ ...answersJson(answers), ...changes }, 'f')).toThrow(new UserError(`f: ${message}`))
})
