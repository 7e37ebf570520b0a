// config.json of a run's folder: what is of the wrong kind is named, by file and field.
import { expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { parseRunConfig, pinnedArguments } from '../../../../train/node/run/config.ts'

const parse = (json: unknown) => parseRunConfig(json, 'run', 'run/config.json')

test('a config keeps what it has, fields that nobody knows included', () => {
  const config = { arguments: ['--model', 'm'], options: { preset: 'imdb', epochs: 3 }, commits: {}, later: [1] }
  expect(parse(config)).toEqual(config)
})

test('arguments that repeat a run name the commits of the Hub', () => {
  const commits = { model: 'c0ffee', data: 'beef' }
  const given = ['--model=some/model', '--data=some/reviews@main', '--seed=1']
  const pinned = ['--model=some/model@c0ffee', '--data=some/reviews@beef', '--seed=1']
  expect(pinnedArguments({ arguments: given, commits })).toEqual(pinned)
  expect(pinnedArguments({ arguments: given })).toEqual(given)
  expect(pinnedArguments({})).toEqual([])
})

test.each([
  ['an array', [], 'run is not a run folder: run/config.json holds no JSON object'],
  ['null', null, 'run is not a run folder: run/config.json holds no JSON object'],
  [
    'arguments that are no list',
    { arguments: '--model m' },
    /^run is not a run folder: run\/config\.json: arguments: /,
  ],
  ['an argument that is a number', { arguments: ['--epochs', 3] }, /: arguments\.1: /],
  ['a commit that is a number', { commits: { model: 1 } }, /: commits\.model: /],
  ['a fingerprint that is null', { fingerprints: { data: null } }, /: fingerprints\.data: /],
])('%s is refused, in one line', (_, json, message) => {
  expect(() => parse(json)).toThrow(UserError)
  expect(() => parse(json)).toThrow(message)
  expect(() => parse(json)).not.toThrow(/\n/)
})
