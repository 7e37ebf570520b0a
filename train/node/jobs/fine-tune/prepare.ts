// From options to a job that is ready to train: everything opened, checked and shown, the step planned, nothing written.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Device, DeviceLost, type PlanSummary, UserError, currentDevice } from '../../../../engine/index.ts'
import { type Classifier, countParameters, summaryText } from '../../../../models/index.ts'
import { exists } from '../../../../models/node/files.ts'
import { checkSizes } from '../../../../models/sizes.ts'
import { type MetricInfo, metricNamed, metricsOf } from '../../../metrics/summary.ts'
import type { TextSets } from '../../../shapes.ts'
import type { Encoded } from '../../../task.ts'
import type { Target } from '../../../tasks/infer.ts'
import { Trainer } from '../../../trainer.ts'
import type { Console } from '../../cli/console.ts'
import type { Options } from '../../cli/options.ts'
import type { Progress } from '../../cli/progress.ts'
import { encodeAll } from '../../data/encode.ts'
import type { Example } from '../../data/labelled.ts'
import { type SetFacts, factsOf } from '../../data/statistics.ts'
import { openNamed } from '../../device.ts'
import { type Fingerprints, fingerprintsOf } from '../../run/fingerprint.ts'
import type { Run } from '../../run/folder.ts'
import { KernelChoices } from '../../run/kernels.ts'
import { type Data, checkTraining, openData, taskOf } from '../job.ts'
import {
  type OpenedModel, adoptAdapter, buildModel, checkWeights, fetchWeights, modelText, namesOf, openModel, withLabels,
} from '../model.ts'
import { count, dataTable, describeAdapter, megabytes, percent, taskText } from './describe.ts'
import { dataCommitOf, modelCommitsOf, refuseChanges } from './recorded.ts'

/** How long the first attempt waits before it opens another device. */
const REOPEN_MS = 1000

/** Everything opened and checked, and shown; the trainer is made, but nothing is planned and no weights are on the device. */
export interface Job {
  readonly options: Options
  readonly device: Device
  readonly data: Data
  readonly facts: { readonly train: SetFacts, readonly test: SetFacts }
  readonly opened: OpenedModel
  readonly fingerprints: Fingerprints
  readonly model: Classifier
  readonly trainer: Trainer<Target>
  readonly choices: KernelChoices
  readonly parameters: { readonly total: number, readonly trainable: number, readonly percent: number }
}

/** With its step planned, by kernels that are chosen for good. */
export interface Prepared extends Job {
  readonly plan: PlanSummary
  /** Whether the model holds its weights already. */
  readonly isFilled?: boolean
}

/** Opens and checks device, data and model, and shows them. Throws a UserError. */
export async function openJob(asked: Options, console: Console, progress: Progress, version: string, run?: Run): Promise<Job> {
  const device = await currentDevice()
  const choices = await KernelChoices.begin(asked.tuneKernels, device, version, run)
  let fetching: string | undefined
  const download = (file: string, done: number, total: number): void => {
    if (file === fetching) progress.update(done)
    else progress.start(`download ${file} (bytes)`, total, done)
    fetching = file
  }
  // What takes long, and the largest download above all, comes after all that may fail at once.
  const described = await openModel(asked, download, modelCommitsOf(run, asked.model))
  // The default follows the model; what is asked for must fit.
  const options = { ...await adoptAdapter(asked, described), maxLength: Math.min(asked.maxLength, described.config.maxPositions) }
  const sketch = await buildModel(options, described, described.trained.task ?? 'classes')
  checkSizes(sketch, device, '--precision f16')
  if (await exists(described.name)) await checkWeights(sketch, described)
  const data = await openData(options, download, namesOf(described.config), dataCommitOf(run, options.data))
  const opened = withLabels(await fetchWeights(described, download), data.plan)
  const model = await buildModel(options, opened, data.plan.task)
  const drawn = await checkWeights(model, opened)
  checkTraining(options, data)
  checkBatch(options, opened, device)
  progress.stop()
  const fingerprints = await fingerprintsOf(data, opened)
  if (run) refuseChanges(run, fingerprints, options.data, opened)
  const facts = { train: factsOf(data.all, data.plan), test: factsOf(data.test, data.plan) }
  const parameters = countParameters(model)

  console.say(`Data: ${data.source}`)
  console.say(taskText(data, facts.train))
  console.say(dataTable(facts, data))
  console.say(`\n${modelText(opened, options, model, drawn)}`)
  console.say(`${summaryText(model)}\n`)

  const trainer = await trainerOf({ options, data, opened, model })
  return { options, device, data, facts, opened, fingerprints, model, trainer, parameters, choices }
}

const trainerOf = ({ options, data, opened, model }: Pick<Job, 'options' | 'data' | 'opened' | 'model'>): Promise<Trainer<Target>> =>
  Trainer.over(model, taskOf(options, data), { ...options, padId: opened.tokenizer.padId })

/** Throws a UserError where a batch's hidden states alone are more than one buffer holds: by arithmetic, before anything is made. */
function checkBatch({ batchSize, batchTokens, maxLength }: Options, { config }: OpenedModel, { gpu: { limits }, info }: Device): void {
  const tokens = batchTokens === undefined ? batchSize * maxLength : Math.max(batchTokens, maxLength)
  const bytes = 4 * tokens * config.hidden
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize)
  if (bytes <= most) return
  const option = batchTokens === undefined ? `--batch-size ${batchSize} × --max-length ${maxLength}` : `--batch-tokens ${batchTokens}`
  throw new UserError(`${option}: hidden states of ${megabytes(bytes)} are more than one buffer of ${info.name} holds (${megabytes(most)}); `
    + 'use a smaller batch or length, with --accumulate for the same step')
}

/** The metric by which evaluations of a run are compared. */
export function mainMetric({ bestMetric }: Options, { plan: { task, labels } }: Data): MetricInfo {
  if (bestMetric === 'loss') return { name: 'loss', title: 'loss', better: 'smaller', shown: 'decimal' }
  return bestMetric === undefined ? metricsOf(task, labels.length)[0] : metricNamed(task, labels.length, bestMetric)
}

/** Ends all measuring, plans a step of the longest batch and shows what it costs. */
export async function planStep(job: Job, console: Console): Promise<Prepared> {
  const { options: { batchSize, maxLength }, trainer, device, choices } = job
  choices.settle()
  const plan = await trainer.plan(maxLength)
  console.say(`Step of ${batchSize} × ${maxLength} tokens on ${device.info.name}: ${plan.dispatches} dispatches `
    + `(${plan.unfused} without fusion), ${plan.pipelines} pipelines, peak memory ${megabytes(plan.peakBytes)}\n`)
  return { ...job, plan }
}

/** The same for a run that trains on these texts: the kernels of its own batches are measured first, where that is wanted. */
export async function prepare(job: Job, console: Console, progress: Progress): Promise<[Prepared, TextSets<Target>]> {
  const { options, data, device, trainer, opened: { tokenizer } } = job
  const tokenised = async (what: string, examples: readonly Example[]): Promise<Encoded<Target>[]> => {
    progress.start(`tokenise ${what}`, examples.length)
    const result = await encodeAll(examples, tokenizer, options, done => progress.update(done))
    progress.stop()
    return result
  }
  const texts = {
    train: await tokenised('train', data.train), validation: await tokenised('validation', data.validation), test: await tokenised('test', data.test),
  }
  const cut = texts.train.filter(({ ids }) => ids.length >= options.maxLength).length
  if (cut > 0) {
    console.say(`${count(cut)} of ${count(texts.train.length)} training texts (${percent(cut / texts.train.length)}) fill ${options.maxLength} tokens; what is beyond is cut.\n`)
  }
  await trainer.prepare(texts, () => device.tuning.secondsLeft > 0)
  return [await planStep(job, console), texts]
}

/** The same job on a new device of the same adapter, with the kernels that the run began with. Throws a DeviceLost where there is none. */
export async function rebuild(job: Prepared, run: Run, attempt: number, version: string): Promise<Prepared> {
  const { options, data, opened, device: { info: before } } = job
  // A driver that restarts needs a moment, and more of them where that was not enough.
  await sleep(attempt * REOPEN_MS)
  const device = await openNamed(options.adapter, options.profile).catch((error: unknown) => {
    throw error instanceof UserError ? new DeviceLost(error.message) : error
  })
  if (device.info.name !== before.name || device.info.driver !== before.driver) {
    device.close()
    throw new DeviceLost(`the GPU was lost: ${before.name} is no longer offered, only ${device.info.name}`)
  }
  const choices = await KernelChoices.begin(options.tuneKernels, device, version, run)
  choices.settle()
  const model = await buildModel(options, opened, data.plan.task)
  const trainer = await trainerOf({ options, data, opened, model })
  return { ...job, device, choices, model, trainer, isFilled: false }
}

/** What `--dry-run --json` gives, config.json records and the result repeats. */
export function overview({ device, opened, parameters, facts, plan, data }: Prepared): Record<string, unknown> {
  return {
    adapter: describeAdapter(device.info),
    model: { name: opened.name, family: opened.config.family, adapter: opened.adapter?.name, parameters },
    data: { ...facts, unlabelled: data.unlabelled, columns: data.columns, task: data.plan.task, labels: data.plan.labels },
    plan: {
      dispatches: plan.dispatches, pipelines: plan.pipelines, peak_bytes: plan.peakBytes,
      unfused_dispatches: plan.unfused, scratch_bytes: plan.scratchBytes, live_bytes: plan.liveBytes,
    },
  }
}
