// Specs of sweeps: what they mean, and one line for each mistake, with file, line and field.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../../../engine/errors.ts'
import {
  type SearchOptions,
  commandLineSource,
  searchOptions,
  splitArguments,
} from '../../../../../train/node/cli/search-options.ts'
import { parseOptions } from '../../../../../train/node/cli/options.ts'
import { absolute } from '../../../../../train/node/cli/sweep.ts'
import { parseTable } from '../../../../../train/node/cli/table.ts'
import { argumentsOf } from '../../../../../train/node/jobs/sweep/check.ts'
import { parseSource } from '../../../../../train/node/jobs/sweep/source.ts'
import { openPlan, readPlan } from '../../../../../train/node/jobs/sweep/spec.ts'
import { gridOf, propose } from '../../../../../train/search/propose.ts'

const plan = (text: string) => readPlan(parseSource(text, 's.yaml'))

/** The plan of a command line of `tilegrad sweep`, or of a file with changes. */
function planOf(argv: readonly string[], file?: string) {
  const { own, shared } = splitArguments(argv)
  const options: SearchOptions = parseTable({ Search: searchOptions }, own)
  return openPlan(file, commandLineSource(options, shared))
}

const STUDY = `
# The options of a run that are searched, and those that all trials share.
search: tpe
settings: 40
seeds: [1, 2]
metric: loss
halving: { grace: 2 }
options:
  model: distilbert-base-uncased
  limit-train: 2000
  merge: true
  train-head: false
parameters:
  lr: { min: 1e-5, max: 1e-3, scale: log }
  lora-rank: { min: 1, max: 64, scale: log, integer: true }
  lora-targets: ['query,value', mlp]
  schedule: { values: [linear, cosine] }
  weight-decay: 0.1
`

describe('a spec', () => {
  test('says what is searched and what all trials share', () => {
    expect(plan(STUDY)).toEqual({
      command: 'fine-tune',
      spec: {
        search: 'tpe',
        settings: 40,
        seeds: [1, 2],
        metric: 'loss',
        direction: 'minimize',
        halving: { grace: 2, factor: 3 },
        seed: 0,
        spaces: [
          {
            lr: { min: 1e-5, max: 1e-3, scale: 'log' },
            'lora-rank': { min: 1, max: 64, scale: 'log', integer: true },
            'lora-targets': { values: ['query,value', 'mlp'] },
            schedule: { values: ['linear', 'cosine'] },
            'weight-decay': { values: [0.1] },
          },
        ],
      },
      arguments: ['--model=distilbert-base-uncased', '--limit-train=2000', '--merge', '--best-metric=loss'],
    })
  })

  test('may be JSON, indented with tabs', () => {
    const { spec } = plan('{\n\t"parameters": {\n\t\t"lr": [1e-4, 3e-4]\n\t},\n\t"seeds": [7]\n}\n')
    expect(spec).toMatchObject({
      search: 'grid',
      direction: 'maximize',
      spaces: [{ lr: { values: [1e-4, 3e-4] } }],
      seeds: [7],
    })
  })

  test('may have several spaces', () => {
    const { spec } = plan(
      'parameters:\n  - { tune: lora, lora-rank: [4, 8] }\n  - { tune: [full, head], lr: [1e-5, 1e-4] }\n',
    )
    expect(gridOf(spec)).toEqual([
      { tune: 'lora', 'lora-rank': 4 },
      { tune: 'lora', 'lora-rank': 8 },
      { tune: 'full', lr: 1e-5 },
      { tune: 'full', lr: 1e-4 },
      { tune: 'head', lr: 1e-5 },
      { tune: 'head', lr: 1e-4 },
    ])
  })

  test('gives arguments from which the parser reads each setting', () => {
    const { spec, arguments: shared } = plan(STUDY)
    for (const { values } of propose(spec, [], 5)) {
      const options = parseOptions([...shared, ...argumentsOf(values), '--seed=1'], 'tilegrad')
      expect(options).toMatchObject({
        lr: values.lr,
        loraRank: values['lora-rank'],
        schedule: values.schedule,
        seed: 1,
      })
      expect(options).toMatchObject({ bestMetric: 'loss', limitTrain: 2000, merge: true, trainHead: true })
    }
  })

  test('searches the options of baseline', () => {
    const {
      command,
      spec,
      arguments: shared,
    } = plan('command: baseline\noptions: { data: reviews.csv }\nparameters: { stem: [on, off], ngrams: [1, 3] }')
    expect([command, shared]).toEqual(['baseline', ['--data=reviews.csv']])
    expect(argumentsOf(gridOf(spec)[1])).toEqual(['--stem=on', '--ngrams=3'])
  })

  test('searches flags, which are given where they are true', () => {
    const { spec } = plan('parameters: { train-head: [true], merge: [true, false] }')
    expect(gridOf(spec).map(values => argumentsOf(values))).toEqual([['--train-head', '--merge'], ['--train-head']])
  })
})

/** A spec and what is said of it. */
const MISTAKES: readonly (readonly [name: string, text: string, says: string])[] = [
  ['no YAML', 'parameters: {lr: [1]\nx', 'line 2: Flow map in block collection must be sufficiently indented'],
  ['nothing', '', 'line 1: takes fields such as parameters, options and search; got null'],
  ['a list', '- 1', 'line 1: takes fields such as parameters, options and search; got [1]'],
  ['a field twice', 'parameters:\n  lr: [1]\n  lr: [2]', 'line 3: Map keys must be unique'],
  ['an alias of nothing', 'parameters: *a', 'Unresolved alias'],
  ['a misspelt field', 'paramters:\n  lr: [1]', 'line 1: paramters: unknown field: did you mean parameters?'],
  [
    'a field of other tools',
    'parameters:\n  lr: [1]\ntrials: 3',
    'line 3: trials: unknown field: settings says how many',
  ],
  [
    'an option at the top',
    'parameters:\n  lr: [1]\nepochs: 3',
    'line 3: epochs: unknown field: options that all trials share belong in options',
  ],
  [
    'an unknown search',
    'search: bayes\nparameters:\n  lr: [1]',
    'line 1: search: takes grid, random or tpe; got "bayes"',
  ],
  ['an unknown command', 'command: train\nparameters:\n  lr: [1]', 'line 1: command: takes '],
  [
    'an unknown metric',
    'metric: acuracy\nparameters:\n  lr: [1]',
    'line 1: metric: "acuracy" is unknown: did you mean accuracy?',
  ],
  ['no parameters', 'seeds: [1]', 'line 1: parameters: takes parameters by the names of their options'],
  ['an empty space', 'parameters: {}', 'line 1: parameters: has no parameter'],
  ['an empty list', 'parameters:\n  lr: []', 'line 2: parameters.lr: has no value'],
  ['no value', 'parameters:\n  lr:', 'line 2: parameters.lr: takes a text, a number, true or false; got null'],
  [
    'a value twice',
    'parameters:\n  lr:\n    - 1e-4\n    - 0.0001',
    'line 4: parameters.lr[1]: 0.0001 is in the list twice',
  ],
  ['no number', 'parameters:\n  lr: [.nan]', 'line 2: parameters.lr[0]: takes a text, a number, true or false'],
  [
    'values beside a range',
    'parameters:\n  lr:\n    values: [1]\n    min: 2',
    'line 4: parameters.lr.min: cannot be combined with values',
  ],
  [
    'min above max',
    'parameters:\n  lr:\n    min: 2\n    max: 1',
    'line 3: parameters.lr.min: 2 is above max, which is 1',
  ],
  ['a range without max', 'parameters:\n  lr: { min: 2 }', 'line 2: parameters.lr.max: takes a number; got nothing'],
  [
    'a misspelt rule',
    'parameters:\n  lr: { min: 1, max: 2, stp: 1 }',
    'line 2: parameters.lr.stp: unknown field: did you mean step?',
  ],
  [
    'the log of 0',
    'parameters:\n  lr: { min: 0, max: 1, scale: log }',
    'line 2: parameters.lr.min: a log scale begins above 0; got 0',
  ],
  [
    'steps of a log',
    'parameters:\n  lr: { min: 1, max: 2, scale: log, step: 1 }',
    'line 2: parameters.lr.step: a log scale has no steps',
  ],
  [
    'a step of 0',
    'parameters:\n  lr: { min: 1, max: 2, step: 0 }',
    'line 2: parameters.lr.step: takes a number above 0',
  ],
  [
    'a fraction',
    'parameters:\n  lora-rank: { min: 1.5, max: 4, integer: true }',
    'line 2: parameters.lora-rank.min: takes a whole number',
  ],
  [
    'different kinds',
    'parameters:\n  - lr: [1]\n  - lr: { min: 1, max: 2, step: 1 }',
    'line 3: parameters[1].lr: is a linear range here, and a list in an earlier space',
  ],
  [
    'an endless grid',
    'parameters:\n  lr: { min: 1, max: 2 }',
    'line 2: parameters.lr: a grid takes a list, or a range with a step',
  ],
  [
    'settings of a grid',
    'parameters:\n  lr: [1]\nsettings: 2',
    'line 3: settings: is for search: random and tpe; this grid has 1',
  ],
  ['no settings', 'search: tpe\nparameters:\n  lr: { min: 1, max: 2 }', 'line 1: search: tpe needs settings'],
  [
    'too many settings',
    'search: random\nsettings: 3\nparameters:\n  lr: [1, 2]',
    'line 2: settings: 3 is more than the 2 different settings',
  ],
  [
    'too many trials',
    'parameters:\n  lr: { min: 0, max: 1, step: 1e-9 }',
    'line 1: 1000000001 trials are too many: the maximum is 10000',
  ],
  ['no seed', 'parameters:\n  lr: [1]\nseeds: []', 'line 3: seeds: has no seed'],
  ['a seed twice', 'parameters:\n  lr: [1]\nseeds: [1, 2, 1]', 'line 3: seeds[2]: 1 is in the list twice'],
  [
    'a large seed',
    'parameters:\n  lr: [1]\nseeds: [4294967296]',
    'line 3: seeds[0]: takes a whole number from 0 to 4294967295; got 4294967296',
  ],
  ['TPE of a grid', 'parameters:\n  lr: [1]\ntpe: {}', 'line 3: tpe: is for search: tpe; this is grid'],
  [
    'no factor',
    'parameters:\n  lr: [1]\nhalving: { factor: 1 }',
    'line 3: halving.factor: takes a whole number from 2',
  ],
  [
    'nothing to stop',
    'parameters:\n  lr: [1]\nhalving: {}\noptions: { epochs: 1 }',
    'line 3: halving: never stops a trial',
  ],
  [
    'an unknown option',
    'parameters:\n  lora-rnk: [1]',
    'line 2: parameters.lora-rnk[0]: Unknown option --lora-rnk: did you mean --lora-rank?',
  ],
  [
    'an unknown shared option',
    'parameters:\n  lr: [1]\noptions:\n  epoch: 1',
    'line 4: options.epoch: Unknown option --epoch',
  ],
  [
    'a bad value',
    'parameters:\n  lr:\n    - 1e-4\n    - fast',
    'line 4: parameters.lr[1]: --lr takes a number from 1e-30 to 1e30; got "fast"',
  ],
  [
    'a bad shared value',
    'parameters:\n  lr: [1]\noptions:\n  epochs: 0',
    'line 4: options.epochs: --epochs takes a whole number of at least 1; got "0"',
  ],
  [
    'a value for a flag',
    'parameters:\n  lr: [1]\noptions: { merge: 1 }',
    'line 3: options.merge: --merge takes no value; got "1"',
  ],
  [
    'a flag that is none',
    'parameters:\n  schedule: [false]',
    'line 2: parameters.schedule[0]: --schedule takes linear, cosine or constant; got "false"',
  ],
  ['dashes', 'parameters:\n  --lr: [1]', 'line 2: parameters.--lr: options are written without dashes: lr'],
  [
    'an end of a range',
    'search: tpe\nsettings: 9\nparameters:\n  lora-dropout: { min: 0, max: 1 }',
    'line 4: parameters.lora-dropout: --lora-dropout takes a number from 0 up to, not including, 1; got "1"',
  ],
  [
    'a range of an option of whole numbers',
    'search: tpe\nsettings: 9\nparameters:\n  lora-rank: { min: 1, max: 64 }',
    '(integer: true draws whole numbers)',
  ],
  [
    'options that exclude each other',
    'parameters:\n  tune: [lora, full]\n  lora-rank: [4]',
    'line 3: parameters.lora-rank[0]: --lora-rank requires --tune lora; it has no effect with --tune full, in the setting tune=full lora-rank=4',
  ],
  [
    'an option of fine-tune for baseline',
    'command: baseline\noptions: { data: a.csv }\nparameters:\n  lr: [1]',
    'line 4: parameters.lr[0]: Unknown option --lr',
  ],
  [
    'stopping a baseline',
    'command: baseline\noptions: { data: a.csv }\nparameters:\n  ngrams: [1]\nhalving: {}',
    'line 5: halving: baseline does not evaluate while it trains',
  ],
  [
    'a baseline without data',
    'command: baseline\nparameters:\n  ngrams: [1]',
    'line 1: baseline needs --data: labelled texts, in the setting ngrams=1',
  ],
  ['the seed', 'parameters:\n  seed: [1, 2]', 'line 2: parameters.seed: cannot be set for a trial: use seeds'],
  ['a folder', 'parameters:\n  lr: [1]\noptions:\n  out: x', 'line 4: options.out: cannot be set for a trial'],
  [
    'an option twice',
    'parameters:\n  lr: [1]\noptions:\n  lr: 1',
    'line 2: parameters.lr: is also among the options that all trials share',
  ],
  [
    'a name of every object',
    'parameters:\n  constructor: [1]',
    'line 2: parameters.constructor[0]: Unknown option --constructor',
  ],
]

test.each(MISTAKES)('%s is one line with its place', (_, text, says) => {
  const message = (() => {
    try {
      return JSON.stringify(plan(text))
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      return error.message
    }
  })()
  expect(message).toMatch(/^s\.yaml[,:] /)
  expect(message).toContain(says)
})

describe('the command line', () => {
  test('has lists, ranges and the options of all trials', async () => {
    const argv = [
      '--search',
      'random',
      '--settings=9',
      '--vary',
      'lr=1e-5..1e-3:log',
      '--vary=lora-rank=1..64:log:integer',
    ]
    const more = [
      '--vary',
      'lora-dropout=0..0.5:0.1',
      '--vary',
      'lora-targets=query,value;mlp',
      '--vary',
      'train-head=true',
    ]
    const { spec, arguments: shared } = await planOf([
      ...argv,
      ...more,
      '--seeds',
      '1,2',
      '--',
      '--epochs',
      '2',
      '--merge',
    ])
    expect(spec).toMatchObject({ search: 'random', settings: 9, seeds: [1, 2] })
    expect(spec.spaces).toEqual([
      {
        lr: { min: 1e-5, max: 1e-3, scale: 'log' },
        'lora-rank': { min: 1, max: 64, scale: 'log', integer: true },
        'lora-dropout': { min: 0, max: 0.5, step: 0.1 },
        'lora-targets': { values: ['query,value', 'mlp'] },
        'train-head': { values: [true] },
      },
    ])
    expect(shared).toEqual(['--epochs=2', '--merge', '--best-metric=accuracy'])
  })

  test.each([
    [['--vary', 'lr'], '--vary takes an option with values, such as lr=1e-4,3e-4; got "lr"'],
    [['--vary', 'lr=1', '--vary', 'lr=2'], '--vary lr is given twice'],
    [['--vary', 'lr=2..1:0.5'], '--vary lr: 2 is above max, which is 1'],
    [['--vary', 'lr=fast'], '--vary lr: --lr takes a number from 1e-30 to 1e30; got "fast"'],
    [['--vary', 'lr=1', '--settings', '3'], '--settings: is for search: random and tpe'],
    [
      ['--vary', 'lr=1', '--', '--epochs', '0'],
      'After --, --epochs: --epochs takes a whole number of at least 1; got "0"',
    ],
    [['--vary', 'lr=1', '--', 'runs/a'], 'After --, options of every trial are expected'],
    [['--vary', 'lr=1', '--', '--lr', '1'], '--vary lr: is also among the options that all trials share'],
    [['--vary'], '--vary takes an option with values, such as lr=1e-4,3e-4; got nothing'],
    [['--seeds', '1,x', '--vary', 'lr=1'], '--seeds takes seeds separated by commas'],
    [['--halving', '3', '--vary', 'lr=1'], '--halving takes the evaluations before the first decision and the factor'],
    [[], '--vary: takes parameters by the names of their options'],
  ] as const)('%j is refused by the option', async (argv, says) => {
    const run = async () => planOf([...argv])
    await expect(run()).rejects.toThrow(UserError)
    await expect(run()).rejects.toThrow(says)
  })

  test('changes what a file says, and leaves the rest', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'spec-'))
    try {
      const file = join(folder, 'study.yaml')
      await writeFile(file, STUDY)
      const changed = await planOf(
        ['--settings', '3', '--', '--limit-train=50', '--epochs=1', '--evaluate-every=2'],
        file,
      )
      expect(changed.spec).toMatchObject({ search: 'tpe', settings: 3, seeds: [1, 2], metric: 'loss' })
      expect(changed.arguments).toEqual([
        '--model=distilbert-base-uncased',
        '--limit-train=50',
        '--merge',
        '--epochs=1',
        '--evaluate-every=2',
        '--best-metric=loss',
      ])
      await expect(planOf(['--', '--limit-train=0'], file)).rejects.toThrow(
        'After --, --limit-train: --limit-train takes',
      )
      await expect(planOf(['--', '--seed=0'], file)).rejects.toThrow('After --, --seed: cannot be set for a trial')
      await writeFile(file, STUDY.replace('limit-train: 2000', 'limit-train: 0'))
      await expect(planOf(['--settings', '3'], file)).rejects.toThrow(`${file}, line 10: options.limit-train: `)
      await expect(planOf([], join(folder, 'no.yaml'))).rejects.toThrow(/no\.yaml/)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

test('a path that is there is made absolute for all workers, and a name is left as it is', async () => {
  for (const option of ['data', 'model', 'tokenizer', 'teacher', 'unlabelled']) {
    expect(await absolute(`--${option}=package.json`)).toBe(`--${option}=${resolve('package.json')}`)
    expect(await absolute(`--${option}=google/some-name`)).toBe(`--${option}=google/some-name`)
  }
  expect(await absolute('--name=package.json')).toBe('--name=package.json')
})
