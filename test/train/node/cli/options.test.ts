// The command line: what each option becomes, its default, and one clear line for every mistake.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { parseTargets } from '../../../../models/lora.ts'
import { helpText, parseOptions, referencesOf, toArguments } from '../../../../train/node/cli/options.ts'

/** The message of the UserError that the arguments meet; fails when there is none. */
function mistake(...argv: string[]): string {
  try {
    parseOptions(argv)
  } catch (error) {
    expect(error).toBeInstanceOf(UserError)
    return (error as UserError).message
  }
  throw new Error(`${argv.join(' ')} was taken`)
}

const documented = [
  'data',
  'model',
  'tokenizer',
  'init',
  'tune',
  'lora-rank',
  'lora-alpha',
  'lora-dropout',
  'lora-targets',
  'train-head',
  'lr',
  'schedule',
  'warmup',
  'weight-decay',
  'epochs',
  'batch-size',
  'accumulate',
  'max-length',
  'clip',
  'seed',
  'precision',
  'limit-train',
  'limit-test',
  'val-split',
  'out',
  'resume',
  'adapter',
  'list-adapters',
  'dry-run',
  'json',
]
const optionsInHelp = [...helpText().matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name]) => name)

describe('options', () => {
  test('have the defaults of the study when nothing is given', () => {
    const { given, ...options } = parseOptions([])
    expect(given.size).toBe(0)
    expect(options).toEqual({
      data: undefined,
      model: undefined,
      tokenizer: undefined,
      init: 'pretrained',
      tune: 'lora',
      loraRank: 8,
      loraAlpha: 1,
      loraDropout: 0,
      loraTargets: 'query,value,mlp',
      trainHead: false,
      freezeHead: false,
      preset: 'imdb',
      lr: 5e-4,
      schedule: 'linear',
      warmup: 0.06,
      weightDecay: 0.01,
      epochs: 3,
      batchSize: 16,
      accumulate: 1,
      maxLength: 256,
      clip: 1,
      skipBadSteps: 0,
      seed: 42,
      recompute: false,
      precision: 'f32',
      task: undefined,
      labels: undefined,
      classWeights: undefined,
      labelSmoothing: 0,
      teacher: undefined,
      distillWeight: 0.5,
      distillTemperature: 2,
      unlabelled: [],
      evaluateEvery: undefined,
      patience: undefined,
      bestMetric: undefined,
      keepBest: 1,
      batchTokens: undefined,
      textColumn: undefined,
      pairColumn: undefined,
      labelColumn: undefined,
      encoding: undefined,
      skipBadRows: false,
      minusOne: 'unlabelled',
      noReport: false,
      limitTrain: undefined,
      limitTest: undefined,
      valSplit: 0.1,
      compareWith: undefined,
      try: [],
      bundled: false,
      out: undefined,
      name: undefined,
      resume: undefined,
      checkpointEvery: 30,
      merge: false,
      tensorboard: false,
      dryRun: false,
      json: false,
      adapter: undefined,
      listAdapters: false,
      profile: false,
      tuneKernels: 'cached',
      help: false,
      version: false,
    })
  })

  test('take the values given, in both spellings, and remember which were given', () => {
    const options = parseOptions([
      '--data',
      '../shared/imdb',
      '--model=distilbert-base-uncased',
      '--init',
      'random',
      '--lora-alpha',
      '.5',
      '--lora-targets',
      'query,projection',
      '--lr=1e-3',
      '--epochs',
      '1',
      '--val-split',
      '200',
      '--warmup',
      '10',
      '--json',
      '--dry-run',
      '--train-head',
      '--batch-size',
      '16',
    ])
    expect(options).toMatchObject({
      data: '../shared/imdb',
      model: 'distilbert-base-uncased',
      init: 'random',
      loraAlpha: 0.5,
      loraTargets: 'query,projection',
      lr: 1e-3,
      epochs: 1,
      valSplit: 200,
      warmup: 10,
      json: true,
      dryRun: true,
      trainHead: true,
      batchSize: 16,
    })
    expect([...options.given].toSorted()).toEqual([
      'batch-size',
      'data',
      'dry-run',
      'epochs',
      'init',
      'json',
      'lora-alpha',
      'lora-targets',
      'lr',
      'model',
      'train-head',
      'val-split',
      'warmup',
    ])
  })

  test('have the defaults of the field under the preset of the command', () => {
    const of = (...argv: string[]) => parseOptions(argv, 'tilegrad')
    expect(of()).toMatchObject({ preset: 'tilegrad', loraRank: 8, loraAlpha: 16, trainHead: true, maxLength: 256 })
    expect(of('--lora-rank', '4')).toMatchObject({ loraAlpha: 8 })
    expect(of('--lora-rank', '4', '--lora-alpha', '1')).toMatchObject({ loraAlpha: 1 })
    expect(of('--freeze-head')).toMatchObject({ trainHead: false })
    expect(of('--lora-targets', 'query,head'), 'a head with an adapter of its own').toMatchObject({ trainHead: false })
    expect(toArguments(of('--freeze-head', '--lora-rank', '4'))).toEqual(['--freeze-head', '--lora-rank=4'])
    expect(mistake('--freeze-head', '--train-head')).toBe('--train-head and --freeze-head exclude each other')
    const help = helpText('tilegrad').replace(/\s+/g, ' ')
    expect(help).toContain('Usage: npm run -s tilegrad -- fine-tune [options]')
    expect(help).toContain('the adapters are scaled by alpha / rank [2 × rank]')
  })

  test('become arguments again that give the same options, less what is left out', () => {
    const argv = [
      '--seed',
      '3',
      '--lr',
      '1e-7',
      '--merge',
      '--data',
      'a b',
      '--name=--odd',
      '--lora-alpha=.5',
      '--json',
    ]
    const options = parseOptions(argv)
    expect(parseOptions(toArguments(options))).toEqual(options)
    expect(toArguments(options, { omit: ['json', 'name'], values: { data: '/a b' } })).toEqual([
      '--seed=3',
      '--lr=1e-7',
      '--merge',
      '--data=/a b',
      '--lora-alpha=0.5',
    ])
  })

  test('name what a run is compared with, each once, and texts to try in their order', () => {
    const options = parseOptions(['--compare-with', 'nb, random,nb', '--try', 'a b', '--try=--odd'])
    expect(referencesOf(options)).toEqual(['nb', 'random'])
    expect(options.try).toEqual(['a b', '--odd'])
    expect(toArguments(options)).toEqual(['--compare-with=nb,random', '--try=a b', '--try=--odd'])
    expect(referencesOf(parseOptions([]))).toEqual([])
    for (const list of ['nb,,lr', 'nb,', ''])
      expect(mistake('--compare-with', list)).toMatch(
        /^--compare-with takes any of random, nb, lr, nb-svm and runs' folders/,
      )
    expect(mistake('--compare-with', 'nb,random', '--init', 'random')).toBe(
      '--compare-with random trains from random weights, which --init random does already',
    )
    expect(mistake('--bundled', '--data', 'a', '--model', 'b')).toBe(
      '--bundled has no effect with both --data and --model',
    )
  })

  test('given twice count as given last', () => expect(parseOptions(['--seed', '1', '--seed', '2']).seed).toBe(2))

  test('the learning rate follows from what is trained, unless it is given', () => {
    expect(parseOptions(['--tune', 'full']).lr).toBe(2e-5)
    expect(parseOptions(['--tune', 'head']).lr).toBe(5e-4)
    expect(parseOptions(['--tune', 'full', '--lr', '0.1']).lr).toBe(0.1)
  })

  test('LoRA targets may be a regular expression over parameter names', () => {
    for (const pattern of ['q_lin|v_lin', 'layer\\.[0-3]\\..*query', 'attention', 'ffn']) {
      expect(parseOptions(['--lora-targets', pattern]).loraTargets).toBe(pattern)
    }
  })

  test('LoRA targets that are taken are targets to the models too', () => {
    const word = fc.oneof(
      fc.constantFrom('query', 'mlp', ' head ', 'qurey', ' ', '', 'attention', 'q_lin|v_lin', '['),
      fc.string(),
    )
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 3 }).map(words => words.join(',')),
        text => {
          try {
            expect(parseTargets(parseOptions([`--lora-targets=${text}`]).loraTargets).length).toBeGreaterThan(0)
          } catch (error) {
            expect((error as Error).message).toMatch(/^--lora-targets takes /)
          }
        },
      ),
    )
  })

  test('a value that begins with dashes can be given with an equals sign', () => {
    expect(parseOptions(['--name=--odd']).name).toBe('--odd')
  })

  test('-h asks for help', () => expect(parseOptions(['-h']).help).toBe(true))

  test('any whole number of at least 1 is a rank, and nothing else is', () => {
    fc.assert(fc.property(fc.integer({ min: 1 }), n => parseOptions(['--lora-rank', String(n)]).loraRank === n))
    for (const text of ['0', '-1', '1.5', '8x', '0x8', ' 8', 'Infinity', '1e999', 'eight']) {
      const expected = `--lora-rank takes a whole number of at least 1; got ${JSON.stringify(text)}`
      expect(mistake('--lora-rank', text)).toBe(expected)
    }
  })

  test('whatever the arguments, they parse or meet one line that names an option or an argument', () => {
    const option = fc.constantFrom(...documented.map(name => `--${name}`))
    const word = fc.oneof(option, fc.string(), fc.constantFrom('-1', '0.5', '3'))
    fc.assert(
      fc.property(fc.array(word, { maxLength: 5 }), argv => {
        try {
          parseOptions(argv)
        } catch (error) {
          expect(error).toBeInstanceOf(UserError)
          expect((error as UserError).message).toMatch(/^(--[a-z-]+ |Unknown option |Unexpected argument )[^\n]*$/)
        }
      }),
    )
  })
})

describe('a mistake on the command line is told in one line', () => {
  test('an unknown option, with the one that was meant', () => {
    expect(mistake('--lora-rnak', '3')).toBe('Unknown option --lora-rnak: did you mean --lora-rank?')
    expect(mistake('--epoch', '3')).toContain('did you mean --epochs?')
    expect(mistake('--batch', '3')).toContain('did you mean --batch-size?')
    expect(mistake('--Json')).toContain('did you mean --json?')
    expect(mistake('--frobnicate')).toBe('Unknown option --frobnicate: see --help for all of them')
    expect(mistake('-x')).toContain('Unknown option -x')
    expect(mistake('--constructor')).toContain('Unknown option --constructor')
  })

  test('a missing value', () => {
    expect(mistake('--lr')).toBe('--lr takes a number from 1e-30 to 1e30; got nothing')
    expect(mistake('--lr', '--seed', '3')).toBe('--lr takes a number from 1e-30 to 1e30; got nothing')
    expect(mistake('--data', '')).toBe('--data takes a path or the name of a Hub dataset; got ""')
  })

  test('a bad value', () => {
    const cases: [string, string, string][] = [
      ['--lora-rank', '0', 'a whole number of at least 1'],
      ['--lora-alpha', '0', 'a number from 1e-30 to 1e9'],
      ['--lora-dropout', '1', 'a number from 0 up to, not including, 1'],
      ['--epochs', '-1', 'a whole number of at least 1'],
      ['--lr', 'abc', 'a number from 1e-30 to 1e30'],
      ['--weight-decay', '-0.1', '0 or a number from 1e-30 to 1e30'],
      ['--warmup', '1.5', 'a fraction below 1 or a count of steps'],
      ['--val-split', '2.5', 'a count of examples or a fraction below 1'],
      ['--limit-train', '0', 'a whole number of at least 1'],
      ['--max-length', '3', 'a whole number of at least 4'],
      ['--clip', '-1', '0 or a number from 1e-30 to 1e30'],
      ['--seed', '4294967296', 'a whole number from 0 to 4294967295'],
      ['--tune', 'qlora', 'lora, full or head'],
      ['--schedule', 'step', 'linear, cosine or constant'],
      ['--precision', 'bf16', 'f32 or f16'],
      ['--init', 'zero', 'pretrained or random'],
      ['--skip-bad-steps', '-1', 'a whole number of at least 0'],
    ]
    for (const [option, value, expects] of cases) {
      expect(mistake(option, value)).toBe(`${option} takes ${expects}; got ${JSON.stringify(value)}`)
    }
  })

  test('a target that no model has, and a pattern that is none', () => {
    for (const targets of ['query,vaule', 'qurey', 'query,', 'constructor,query', 'a[', '', ' ', 'query value, mlp']) {
      expect(mistake('--lora-targets', targets)).toMatch(/^--lora-targets takes any of query,key,.* got "/)
    }
  })

  test('a value for a flag, and a stray argument', () => {
    expect(mistake('--json=yes')).toBe('--json takes no value; got "yes"')
    expect(mistake('--json', 'yes')).toContain('Unexpected argument "yes"')
    expect(mistake('a\nb')).not.toContain('\n')
  })

  test('options that exclude each other', () => {
    expect(mistake('--resume', 'runs/x', '--lr', '1e-3')).toBe(
      "--lr cannot be given with --resume, which uses the run's own options",
    )
    expect(mistake('--tune', 'full', '--lora-rank', '4')).toContain('--lora-rank requires --tune lora')
    expect(mistake('--tune', 'head', '--merge')).toContain('--merge requires --tune lora')
    expect(parseOptions(['--resume', 'runs/x', '--json', '--adapter', 'nv']).resume).toBe('runs/x')
  })
})

test('factors that can only overflow or vanish in f32 are refused, those that may overflow are not', () => {
  for (const name of ['--lr', '--lora-alpha', '--weight-decay', '--clip']) {
    for (const value of ['1e308', '1e31', '1e-31', '1e-300', '1e400', 'Infinity', 'NaN']) {
      expect(mistake(name, value), name).toMatch(/ takes (0 or )?a number from 1e-30 to 1e(30|9); got /)
    }
  }
  expect(mistake('--lora-dropout', '0.99999999999999999')).toContain('up to, not including, 1; got')
  expect(mistake('--warmup', '1e308')).toContain('takes a fraction below 1 or a count of steps; got')
  expect(parseOptions(['--tune', 'full', '--lr', '1e30'])).toMatchObject({ lr: 1e30, weightDecay: 0.01 })
  expect(parseOptions(['--lora-alpha', '1e9', '--clip', '0', '--weight-decay', '0'])).toMatchObject({
    loraAlpha: 1e9,
    clip: 0,
    weightDecay: 0,
  })
})

test('a decay that would turn the signs of weights is refused with the rate that it goes with', () => {
  expect(mistake('--weight-decay', '2000')).toBe(
    '--weight-decay 2000 at --lr 0.0005 would flip the signs of weights: lr × weight-decay must be below 1',
  )
  expect(mistake('--lr', '10', '--weight-decay', '0.1')).toContain('--weight-decay 0.1 at --lr 10 would flip')
  expect(parseOptions(['--weight-decay', '1999']).weightDecay).toBe(1999)
})

test('a run may go on with steps left out that are not finite', () => {
  expect(parseOptions(['--resume', 'runs/x', '--skip-bad-steps', '2']).skipBadSteps).toBe(2)
})

describe('the help', () => {
  test('says what each exit status means', () => {
    expect(helpText()).toMatch(/Exit status:\n +0 .+\n +2 .+\n +3 +NaN or infinite numbers: .+\n +129, 130, 143 .+\n$/)
  })

  test('lists every documented option once, with its default', () => {
    for (const name of documented) expect(optionsInHelp.filter(listed => listed === name)).toEqual([name])
    const help = helpText().replace(/\s+/g, ' ')
    const shown = ['--lora-rank N rank of the adapters [8]', '[5e-4, and 2e-5 with --tune full]', '[query,value,mlp]']
    for (const part of shown) expect(help).toContain(part)
  })

  test('lists no option that is not taken, and fits 120 columns', () => {
    for (const name of optionsInHelp) {
      const alone = (() => {
        try {
          parseOptions([`--${name}`])
          return 'flag'
        } catch (error) {
          return (error as Error).message
        }
      })()
      expect(alone === 'flag' || alone.startsWith(`--${name} takes `), alone).toBe(true)
    }
    for (const line of helpText().split('\n')) expect(line.length).toBeLessThanOrEqual(120)
  })
})
