// The studies: that each can be run as it is, and on a part of the reviews.
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { commandLineSource, searchOptions } from '../../train/node/cli/search-options.ts'
import { parseOptions } from '../../train/node/cli/options.ts'
import { parseTable } from '../../train/node/cli/table.ts'
import { argumentsOf } from '../../train/node/jobs/sweep/check.ts'
import { parseSource } from '../../train/node/jobs/sweep/source.ts'
import { openPlan, readPlan } from '../../train/node/jobs/sweep/spec.ts'
import { countOf, propose } from '../../train/search/propose.ts'

const folder = fileURLToPath(new URL('../../train/studies/', import.meta.url))
const studies = globSync('*.yaml', { cwd: folder })
/** Those of DistilBERT on all of the reviews; the others are what a machine without a GPU can run. */
const whole = studies.filter(study => !['small.yaml', 'search-small.yaml', 'search-baseline.yaml'].includes(study))
const readme = await readFile(`${folder}README.md`, 'utf8')

/** The plan of a study with these arguments after `--`. */
function planOf(study: string, shared: readonly string[] = []) {
  return openPlan(folder + study, commandLineSource(parseTable({ Search: searchOptions }, []), shared))
}

test('are listed in the README with their numbers of settings and seeds', async () => {
  expect(studies.length).toBeGreaterThan(4)
  for (const study of studies) {
    const { spec } = await planOf(study)
    const row = readme
      .split('\n')
      .find(line => line.startsWith(`| \`${study}\``))
      ?.split('|')
      .map(cell => cell.trim())
    expect([study, parseInt(row?.[3] ?? '', 10), row?.[4]]).toEqual([study, countOf(spec), String(spec.seeds.length)])
  }
})

test.each(whole)('%s names data and model, and has all of the reviews', async study => {
  const { spec, arguments: shared } = await planOf(study)
  const [{ values }] = propose(spec, [], 1)
  const options = parseOptions([...shared, ...argumentsOf(values)], 'tilegrad')
  expect(options).toMatchObject({ data: 'stanfordnlp/imdb', model: 'distilbert-base-uncased', bestMetric: 'accuracy' })
  expect([options.limitTrain, options.limitTest]).toEqual([undefined, undefined])
})

test.each(whole)('%s can be run on a part of them, as the README says', async study => {
  const given = /^ {2}--model .*$/m.exec(readme)?.[0].trim().split(' ') ?? []
  const small = await planOf(study, [...given, '--evaluate-every', '10'])
  expect(small.spec).toEqual((await planOf(study)).spec)
  const options = parseOptions(small.arguments, 'tilegrad')
  expect(options).toMatchObject({ model: 'google/bert_uncased_L-2_H-128_A-2', limitTrain: 1000, maxLength: 128 })
})

test('the small study has the results of all its settings and seeds, and its page has their accuracies', async () => {
  const { spec } = await planOf('small.yaml')
  const recorded = z.object({
    spec: z.unknown(),
    trials: z.array(
      z.object({
        setting: z.number(),
        seed: z.number(),
        values: z.record(z.string(), z.unknown()),
        state: z.literal('complete'),
        test_accuracy: z.number(),
      }),
    ),
  })
  const { spec: then, trials } = recorded.parse(JSON.parse(await readFile(`${folder}small.json`, 'utf8')))
  expect(then).toEqual(JSON.parse(JSON.stringify(spec)))
  const page = await readFile(`${folder}small.md`, 'utf8')
  for (const { setting, values } of propose(spec, [], countOf(spec))) {
    const own = trials.filter(trial => trial.setting === setting)
    expect(own.map(({ seed }) => seed)).toEqual([...spec.seeds])
    for (const trial of own) expect(trial.values).toEqual(values)
    const accuracies = own.map(({ test_accuracy }) => (100 * test_accuracy).toFixed(2)).join(', ')
    const name = Object.entries(values)
      .map(([option, value]) => (value === true ? `\`--${option}\`` : `\`--${option} ${value}\``))
      .join(' ')
    expect(page).toMatch(new RegExp(`^\\| ${name} \\| [\\d.]+ % \\| ${accuracies} % \\|`, 'm'))
  }
})

test('the example in the README is a spec, and has the defaults that it says', async () => {
  const example = /```yaml\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
  const { command, spec } = readPlan(parseSource(example.replace('search: grid', 'search: tpe'), 'README.md'))
  const bare = readPlan(parseSource('parameters: { lr: [1] }\nhalving: {}', 'bare.yaml'))
  expect({ command, ...spec }).toEqual({
    ...bare.spec,
    command: bare.command,
    search: 'tpe',
    settings: 40,
    spaces: spec.spaces,
    tpe: { startup: 10, candidates: 24, multivariate: true },
  })
  expect(bare.spec.search).toBe('grid')
})
