// The overview of a data set: what a run on it would see, in one object that the terminal, `--json` and the page show.
import { type CutOptions, epochCost, lostAt } from '../../overview/cuts.ts'
import type { RowPlace } from '../../overview/duplicates.ts'
import type { Options } from '../cli/options.ts'
import type { Example } from '../data/labelled.ts'
import { codePoints, factsOf, histogram, statisticsOf } from '../data/statistics.ts'
import type { Data } from './job.ts'
import { duplicatesOf } from './overview/duplicates.ts'
import { type Groups, groupsOf, labelText } from './overview/groups.ts'
import { oddRowsOf } from './overview/odd.ts'
import type { Opened } from './overview/open.ts'
import type { Overview, SetOverview, ShownExample, ShownRow } from './overview/result.ts'
import { type NamedSet, type Scanned, scan, setsOf } from './overview/scan.ts'

/** Words of each group in the overview. */
const WORDS = 25
/** Longest texts of an overview if none are given, where the model takes them. */
export const MAX_LENGTHS = [64, 96, 128, 192, 256, 384, 512] as const
/** The length that others are compared with, where it is among them: fine-tuning's default. */
const REFERENCE = 256

/** The overview. `onProgress` is called with the number of texts that have been read. */
export async function overviewOf(
  opened: Opened,
  options: Options,
  maxLengths: readonly number[],
  onProgress: (done: number) => void,
): Promise<Overview> {
  const { data, tokenizer } = opened
  const { plan } = data
  const sets = setsOf(data)
  const groups = groupsOf(plan, data.all)
  const scanned = await scan(sets, groups, opened, onProgress)
  const show = ({ set, row }: RowPlace): ShownRow => {
    const { name, examples } = sets[set]
    const { text, pair } = examples[row]
    return { set: name, row, label: labelText(examples[row], plan), text, ...(pair !== undefined && { pair }) }
  }
  return {
    source: data.source,
    ...(opened.refused !== undefined && { refused: opened.refused }),
    task: plan.labels.length === 0 ? null : plan.task,
    why: plan.why,
    labels: plan.labels,
    columns: data.columns,
    unlabelled: data.unlabelled,
    left_out: data.leftOut,
    tokenizer: {
      name: tokenizer.name,
      ...(tokenizer.why !== undefined && { why: tokenizer.why }),
      vocabulary: tokenizer.tokenizer.vocabSize,
    },
    sets: Object.fromEntries(
      sets.map(({ name, examples }, set) => [
        name,
        setOverview(examples, plan, scanned.tokens[set], scanned.characters[set]),
      ]),
    ),
    max_length: maxLengthsOf(sets, scanned, opened, options, maxLengths),
    duplicates: duplicatesOf(sets, scanned, plan, show),
    odd: oddRowsOf(sets, scanned, show),
    // One group differs from no other.
    words:
      groups.names.length < 2
        ? []
        : groups.names.map((group, i) => ({ group, words: scanned.counts.distinguishing(i, WORDS) })),
    examples: examplesOf(groups, data.all, scanned.characters[0], show),
  }
}

function setOverview(
  examples: readonly Example[],
  plan: Data['plan'],
  tokens: readonly number[],
  characters: readonly number[],
): SetOverview {
  const pairs = examples.flatMap(({ pair }) => pair ?? [])
  return {
    ...factsOf(examples, plan),
    ...(pairs.length > 0 && { pair_length: statisticsOf(pairs.map(codePoints)) }),
    token_length: statisticsOf(tokens),
    characters: histogram(characters),
    tokens: histogram(tokens),
    ...(plan.task === 'regression' && { numbers: statisticsOf(examples.map(({ target }) => Number(target))) }),
  }
}

function maxLengthsOf(
  sets: readonly NamedSet[],
  { tokens }: Pick<Scanned, 'tokens'>,
  { tokenizer: { model } }: Opened,
  { batchSize, batchTokens, seed }: Options,
  maxLengths: readonly number[],
): Overview['max_length'] {
  const options: CutOptions = { batchSize, batchTokens, seed, widths: model }
  const costs = maxLengths.map(length => epochCost(length, tokens[0], options))
  const reference = costs.find(({ maxLength }) => maxLength === REFERENCE) ?? costs[costs.length - 1]
  return {
    batch_size: batchSize,
    ...(batchTokens !== undefined && { batch_tokens: batchTokens }),
    model,
    reference: reference.maxLength,
    lengths: costs.map(({ maxLength, work, ...cost }) => ({
      max_length: maxLength,
      cut: Object.fromEntries(sets.map(({ name }, set) => [name, lostAt(maxLength, tokens[set])])),
      ...cost,
      time: work / reference.work,
    })),
  }
}

/** The shortest text of each group, and the one of median length. */
function examplesOf(
  { names, of }: Groups,
  train: readonly Example[],
  lengths: readonly number[],
  show: (place: RowPlace) => ShownRow,
): ShownExample[] {
  const rows: number[][] = names.map(() => [])
  for (const [row, example] of train.entries()) for (const group of of(example)) rows[group].push(row)
  return names.flatMap((group, i) => {
    const sorted = rows[i].sort((a, b) => lengths[a] - lengths[b] || a - b)
    if (sorted.length === 0) return []
    const typical = sorted[Math.floor((sorted.length - 1) / 2)]
    const made = (kind: ShownExample['kind'], row: number): ShownExample => ({
      group,
      kind,
      ...show({ set: 0, row }),
    })
    return [made('shortest', sorted[0]), ...(typical === sorted[0] ? [] : [made('typical', typical)])]
  })
}
