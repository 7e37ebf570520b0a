// From options to a job that is ready to train: everything opened, checked and shown, the step planned, nothing
// written.
import { showBytes } from '../../../../engine/bytes.ts'
import { type Device, type PlanSummary, UserError, currentDevice } from '../../../../engine/index.ts'
import { type Classifier, countParameters, summaryText } from '../../../../models/index.ts'
import { checkSizes } from '../../../../models/sizes.ts'
import { checkWindow } from '../../../../models/windows.ts'
import { rowsOf } from '../../../batches.ts'
import { type MetricInfo, metricNamed, metricsOf } from '../../../metrics/summary.ts'
import { type TextSets, mostWindows } from '../../../shapes.ts'
import type { Target } from '../../../tasks/infer.ts'
import { Trainer, settingsAmong } from '../../../trainer.ts'
import type { Console } from '../../cli/console.ts'
import { type Options, isReferenceName, referencesOf } from '../../cli/options.ts'
import { type Progress, downloadsOn } from '../../cli/progress.ts'
import { type EncodedExample, type TokenLengths, encodeAll, tokenLengths } from '../../data/encode.ts'
import type { Example } from '../../data/labelled.ts'
import { type SetFacts, factsOf } from '../../data/statistics.ts'
import { reopen } from '../attempts.ts'
import { describeAdapter } from '../../run/config.ts'
import { type Fingerprints, fingerprintsOf } from '../fingerprint.ts'
import type { Run } from '../../run/folder.ts'
import { KernelChoices } from '../../run/kernels.ts'
import { type Data, checkTraining, dataKey, openData, taskOf } from '../job.ts'
import {
  type OpenedModel,
  adoptAdapter,
  adoptLengths,
  buildModel,
  fetchWeights,
  keepWeights,
  modelKey,
  modelText,
  namesOf,
  openModel,
  sizeText,
  withLabels,
} from '../model.ts'
import { type EncodedSets, createShared } from '../shared.ts'
import { REFERENCE_TITLES, dataTable, lengthsText, planText, shareOf, taskText, treatmentOf } from './describe.ts'
import type { Host } from './host.ts'
import { dataCommitOf, modelCommitsOf, refuseChanges, teacherCommitOf, testSeedOf } from './recorded.ts'
import { type Teacher, openTeacher, teacherText, withAnswers } from './teacher.ts'
import { type MoreTexts, openUnlabelled, tokenisedMore } from './unlabelled.ts'

/**
 * Everything opened and checked, and shown; the trainer is made, but nothing is planned and no weights are on the
 * device.
 */
export interface Job {
  readonly options: Options
  readonly device: Device
  readonly data: Data
  readonly facts: { readonly train: SetFacts; readonly test: SetFacts }
  readonly lengths: TokenLengths
  readonly opened: OpenedModel
  readonly fingerprints: Fingerprints
  readonly model: Classifier
  readonly trainer: Trainer<Target>
  readonly choices: KernelChoices
  /** The model whose answers are learned, where there is one. */
  readonly teacher: Teacher | undefined
  /** Texts without labels, of which the teacher's answers are learned, where there are any. */
  readonly more: MoreTexts | undefined
  /** The texts as tokens, made when they are first asked for. */
  readonly texts: (progress: Progress) => Promise<EncodedSets>
  /** The teacher's answers to the training texts, asked for where no earlier job of the same process has. */
  readonly answers: (ask: () => Promise<readonly Float32Array[]>) => Promise<readonly Float32Array[]>
  readonly parameters: { readonly total: number; readonly trainable: number; readonly percent: number }
}

/** With its step planned, by kernels that are chosen for good. */
export interface Prepared extends Job {
  readonly plan: PlanSummary
  /** Whether the model holds its weights already. */
  readonly isFilled?: boolean
}

/** Opens and checks device, data and model, and shows them. Throws a UserError. */
export async function openJob(
  asked: Options,
  console: Console,
  progress: Progress,
  version: string,
  run?: Run,
  host: Host = {},
): Promise<Job> {
  // What is remembered for this job alone is of no use to others.
  const shared = host.shared ?? createShared()
  const device = await currentDevice()
  const choices = await KernelChoices.begin(asked.tuneKernels, device, version, run)
  const download = downloadsOn(progress)
  // What takes long, and the largest download above all, comes after all that may fail at once.
  const described = await openModel(asked, download, modelCommitsOf(run, asked.model))
  // The default follows the model; what is asked for must fit.
  const options = adoptLengths(await adoptAdapter(asked, described), described)
  checkWindow(options)
  const { model: sketch } = await buildModel(options, described, described.trained.task ?? 'classes')
  checkSizes(sketch, device, '--precision f16')
  const [names, revision] = [namesOf(described.config), dataCommitOf(run, options.data)]
  const dataChoices = { ...options, testSeed: testSeedOf(run, options.seed) }
  const keyOfData = dataKey(dataChoices, names, revision)
  const data = await shared.data.get(keyOfData, () => openData(dataChoices, download, names, revision))
  const fetched = withLabels(await fetchWeights(described, download), data.plan)
  const opened = host.shared ? await keepWeights(fetched, host.shared) : fetched
  const { model, drawn } = await buildModel(options, opened, data.plan.task)
  checkTraining(options, data)
  const beside = await besideTitles(options, data)
  checkBatch(options, opened, device)
  const teacher = await openTeacher(options, data.plan, download, teacherCommitOf(run, options.teacher))
  const more = await openUnlabelled(options, data, progress)
  progress.stop()
  const keys = [keyOfData, modelKey(options, opened)]
  const fingerprints: Fingerprints = {
    ...(await shared.fingerprints.get(keys.join(), () => fingerprintsOf(data, opened))),
    ...(teacher && { teacher: teacher.fingerprint }),
    ...(more && { unlabelled: more.fingerprint }),
  }
  if (run) refuseChanges(run, fingerprints, options, opened)
  const facts = { train: factsOf(data.all, data.plan), test: factsOf(data.test, data.plan) }
  const keyOfTexts = [...keys, options.maxLength, options.window, more?.fingerprint].join()
  const lengths = await shared.lengths.get(keyOfTexts, () => tokenLengths(data.train, opened.tokenizer, options))
  const texts: Job['texts'] = progress =>
    shared.texts.get(keyOfTexts, () => tokenisedSets({ options, data, opened, more }, progress))
  const answers: Job['answers'] = ask => shared.answers.get([keyOfTexts, teacher?.fingerprint].join(), ask)
  const parameters = countParameters(model)

  console.say(`${planText(options, data, device, beside)}\n`)
  console.say(`Data: ${data.source}`)
  console.say(taskText(data, facts.train))
  console.say(dataTable(facts, data))
  console.say(lengthsText(lengths, options, opened, data.train.length))
  console.say(`\n${modelText(opened, options, model, drawn)}\n${sizeText(model)}`)
  if (teacher) console.say(teacherText(teacher, options))
  if (more) console.say(`Without labels: ${more.source}`)
  console.say(`${summaryText(model)}\n`)

  const trainer = await trainerOf({ options, data, opened, model })
  const job = {
    options,
    device,
    data,
    facts,
    lengths,
    opened,
    fingerprints,
    model,
    trainer,
    parameters,
    choices,
    teacher,
    more,
    texts,
    answers,
  }
  await host.onOpened?.(job)
  return job
}

/** What the run is to be compared with. Throws a UserError if that is a run that was tested on other rows. */
async function besideTitles(options: Options, data: Data): Promise<string[]> {
  const titles: string[] = []
  for (const name of referencesOf(options)) {
    if (isReferenceName(name)) titles.push(REFERENCE_TITLES[name])
    // Loaded only here: most runs need nothing of it.
    else titles.push(await (await import('./recorded-reference.ts')).checkRecorded(name, data))
  }
  return titles
}

/** The trainer of a run's model, for its task. */
export const trainerOf = ({
  options,
  data,
  opened,
  model,
}: Pick<Job, 'options' | 'data' | 'opened' | 'model'>): Promise<Trainer<Target>> =>
  Trainer.over(model, taskOf(options, data), { ...settingsAmong(options), padId: opened.tokenizer.padId })

/**
 * Throws a UserError if the hidden states of a batch (of this number of windows, if given) are more than one buffer
 * holds: by arithmetic, before anything is allocated.
 */
function checkBatch(
  { batchSize, batchTokens, maxLength }: Options,
  { config }: OpenedModel,
  { gpu: { limits }, info }: Device,
  windows?: number,
): void {
  const tokens =
    windows !== undefined
      ? windows * maxLength
      : batchTokens === undefined
        ? batchSize * maxLength
        : Math.max(batchTokens, maxLength)
  const bytes = 4 * tokens * config.hidden
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize)
  if (bytes <= most) return
  const option =
    windows !== undefined
      ? `a batch of ${windows} windows × --max-length ${maxLength}`
      : batchTokens === undefined
        ? `--batch-size ${batchSize} × --max-length ${maxLength}`
        : `--batch-tokens ${batchTokens}`
  throw new UserError(
    `${option}: hidden states of ${showBytes(bytes)} are more than one buffer of ${info.name} holds (${showBytes(most)}); ` +
      'use a smaller batch or length, with --accumulate for the same step',
  )
}

/** The metric by which evaluations of a run are compared. */
export function mainMetric({ bestMetric }: Options, { plan: { task, labels } }: Data): MetricInfo {
  if (bestMetric === 'loss') return { name: 'loss', title: 'loss', better: 'smaller', shown: 'decimal' }
  return bestMetric === undefined ? metricsOf(task, labels.length)[0] : metricNamed(task, labels.length, bestMetric)
}

/**
 * Ends all measuring, plans a step of the largest batch (of this number of windows, if given) and shows what it costs.
 */
async function planStep(job: Job, console: Console, windows?: number): Promise<Prepared> {
  const { options, trainer, device, choices } = job
  const { maxLength } = options
  choices.settle()
  const plan = await trainer.plan(maxLength, windows)
  console.say(
    `Step of ${windows === undefined ? rowsOf(maxLength, options) : `${windows} windows`} × ${maxLength} tokens on ${device.info.name}: ${plan.dispatches} dispatches ` +
      `(${plan.unfused} without fusion), ${plan.pipelines} pipelines, peak memory ${showBytes(plan.peakBytes)}\n`,
  )
  return { ...job, plan }
}

/** What says how texts become tokens. */
type Texts = Pick<Job, 'options' | 'data' | 'opened' | 'more'>

/** One of a run's sets as tokens. */
async function tokenised(
  { options, data, opened: { tokenizer } }: Texts,
  set: keyof TextSets,
  progress: Progress,
): Promise<EncodedExample[]> {
  const examples: readonly Example[] = data[set]
  progress.start(`tokenise ${set}`, examples.length)
  const result = await encodeAll(examples, tokenizer, options, done => progress.update(done))
  progress.stop()
  return result
}

async function tokenisedSets(job: Texts, progress: Progress): Promise<EncodedSets> {
  const { options, opened, more } = job
  const labelled = await tokenised(job, 'train', progress)
  const others = more ? await tokenisedMore(more, opened.tokenizer, options, progress) : []
  return {
    train: [...labelled, ...others],
    validation: await tokenised(job, 'validation', progress),
    test: await tokenised(job, 'test', progress),
  }
}

/** The most windows of a batch, where texts have several. Throws a UserError if that is more than one buffer holds. */
function largestBatch({ options, opened, device }: Job, train: readonly EncodedExample[]): number | undefined {
  const windows = options.window === undefined ? undefined : mostWindows(train, options)
  checkBatch(options, opened, device, windows)
  return windows
}

/**
 * Plans a step for a run that does not train. Texts are read only where they may have windows: those of the training
 * texts decide how large a batch is, and the first text of a pair may leave them no room.
 */
export async function planAlone(job: Job, console: Console, progress: Progress): Promise<Prepared> {
  const windows = job.options.window === undefined ? undefined : largestBatch(job, (await job.texts(progress)).train)
  return planStep(job, console, windows)
}

/**
 * The same for a run that trains on these texts: the kernels of its own batches are measured first, where that is
 * wanted. `run` is one that is resumed.
 */
export async function prepare(
  job: Job,
  console: Console,
  progress: Progress,
  run?: Run,
): Promise<[Prepared, TextSets<Target>]> {
  const { options, lengths, device, trainer, teacher, more } = job
  const texts = await job.texts(progress)
  // Of a larger set only a sample was measured before.
  const longer = texts.train.filter(({ tokens }) => tokens > options.maxLength).length
  if (longer > 0 && texts.train.length > lengths.count) {
    console.say(
      `${shareOf(longer, texts.train.length)} training texts are longer than ${options.maxLength} tokens and are ${treatmentOf(options)}.\n`,
    )
  }
  const windows = largestBatch(job, texts.train)
  progress.start('compile kernels')
  await trainer.prepare(texts, () => device.tuning.secondsLeft > 0)
  const prepared = await planStep(job, console, windows)
  // By kernels that are chosen for good, so that a resumed run gets the same answers.
  const examples = [...job.data.train, ...(more?.examples ?? [])]
  progress.stop()
  return [
    prepared,
    teacher ? await withAnswers(texts, examples, teacher, { progress, remember: job.answers, run }) : texts,
  ]
}

/**
 * The same job on a new device of the same adapter, with the kernels that the run began with. Throws a DeviceLost if
 * there is none.
 */
export async function rebuild(job: Prepared, run: Run, losses: number, version: string): Promise<Prepared> {
  const { options, data, opened } = job
  const device = await reopen(job.device, options.adapter, options.profile, losses)
  const choices = await KernelChoices.begin(options.tuneKernels, device, version, run)
  choices.settle()
  const { model } = await buildModel(options, opened, data.plan.task)
  const trainer = await trainerOf({ options, data, opened, model })
  return { ...job, device, choices, model, trainer, isFilled: false }
}

/** What `--dry-run --json` gives, config.json records and the result repeats. */
export function overview({
  device,
  opened,
  parameters,
  facts,
  lengths,
  plan,
  data,
  teacher,
}: Prepared): Record<string, unknown> {
  return {
    adapter: describeAdapter(device.info),
    model: { name: opened.name, family: opened.config.family, adapter: opened.adapter?.name, parameters },
    ...(teacher && { teacher: { name: teacher.name, family: teacher.family, parameters: teacher.parameters } }),
    data: {
      ...facts,
      token_length: lengths,
      unlabelled: data.unlabelled,
      columns: data.columns,
      task: data.plan.task,
      labels: data.plan.labels,
    },
    plan: {
      dispatches: plan.dispatches,
      pipelines: plan.pipelines,
      peak_bytes: plan.peakBytes,
      unfused_dispatches: plan.unfused,
      scratch_bytes: plan.scratchBytes,
      live_bytes: plan.liveBytes,
    },
  }
}
