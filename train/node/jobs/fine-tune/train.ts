// Training itself: an attempt from where the run stands to its end, with what it records on the way.
import { measureCeilings } from '../../../../engine/runtime/ceilings.ts'
import type { CheckpointStore, Position } from '../../../checkpoint-store.ts'
import { showFigure } from '../../../metrics/summary.ts'
import type { TextSets } from '../../../shapes.ts'
import type { Target } from '../../../tasks/infer.ts'
import type { TrainerEvents } from '../../../trainer.ts'
import type { Console } from '../../cli/console.ts'
import { type Progress, showDuration } from '../../cli/progress.ts'
import { type Options, referencesOf } from '../../cli/options.ts'
import { command } from '../../cli/shell.ts'
import { type Attempt as Attempted, runAttempts } from '../attempts.ts'
import { RunClock } from '../../run/clock.ts'
import type { Run } from '../../run/folder.ts'
import { nullable } from '../../run/json.ts'
import { fillModel } from '../model.ts'
import { profileTable, traceEvents } from '../profile.ts'
import { conclude } from './conclude.ts'
import { Estimate, type Work } from './estimate.ts'
import type { Host } from './host.ts'
import { type Prepared, mainMetric, rebuild } from './prepare.ts'
import { presetOf, resumeCommand } from './recorded.ts'
import { keepAnswers } from './taught.ts'

/** What an attempt to train needs beside what is trained. */
export interface Attempt extends Attempted {
  readonly run: Run
  readonly texts: TextSets<Target>
  readonly console: Console
  readonly progress: Progress
  readonly version: string
  readonly host: Host
}

/** Trains to the end, and continues on another device of the same adapter if the GPU is lost (`runAttempts`). */
export function runTraining(
  run: Run,
  first: Prepared,
  texts: TextSets<Target>,
  console: Console,
  progress: Progress,
  version: string,
  host: Host,
  from?: Position,
): Promise<number> {
  return runAttempts(first, from, {
    run,
    progress,
    attempt: (prepared, given) => attempt(prepared, { run, texts, console, progress, version, host, ...given }),
    rebuild: (prepared, losses) => rebuild(prepared, run, losses, version),
    command: (...args) => command(presetOf(run), ...args),
  })
}

/** Trains from where the attempt begins, and concludes the run unless it was stopped. Gives the exit status. */
async function attempt(prepared: Prepared, given: Attempt): Promise<number> {
  const { options, opened, model, trainer, choices } = prepared
  const { run, texts, console, progress, checkpoints, stopping, from, host } = given
  const clock = new RunClock(run)
  await choices.keepIn(run)
  await keepAnswers(run, texts.train)
  if (options.tensorboard) await run.keepEvents()
  if (!prepared.isFilled) await fillModel(model, opened, options)

  const steps = trainer.totalSteps(texts.train)
  progress.start('train', steps, from?.step ?? 0)
  host.onTraining?.(run, steps, () => trainer.stop())
  const outcome = await trainer.train(
    texts.train,
    texts.validation,
    watched(checkpoints, position => host.onCheckpoint?.(run, position)),
    eventsOf(prepared, given, clock),
    from,
  )
  progress.stop()
  const stopped = (step: number): number => {
    // Signals are listened to until the end: a second copy of the one that stopped the run may still come.
    console.say(`Stopped after step ${step}. Resume with: ${resumeCommand(run)}`)
    console.result({ stopped: true, folder: run.folder, step })
    return stopping.status
  }
  if (outcome.kind === 'stopped') return stopped(outcome.position.step)
  // What trains from random weights after this can be stopped as well; a test runs to its end.
  if (!referencesOf(options).includes('random')) stopping.end()
  if (outcome.early)
    progress.note(`Stopped early: ${options.patience} evaluations in a row were not better than the best.`)
  return (await conclude(prepared, given, outcome, clock)) ? 0 : stopped(steps)
}

/** The same checkpoints; `saved` is called after each. */
const watched = (checkpoints: CheckpointStore, saved: (position: Position) => Promise<void> | undefined) => ({
  save: async (...args: Parameters<CheckpointStore['save']>) => {
    await checkpoints.save(...args)
    await saved(args[0])
  },
  load: (...args: Parameters<CheckpointStore['load']>) => checkpoints.load(...args),
  saveBest: (...args: Parameters<CheckpointStore['saveBest']>) => checkpoints.saveBest(...args),
  loadBest: (...args: Parameters<CheckpointStore['loadBest']>) => checkpoints.loadBest(...args),
})

/** What a run has to do: training with its evaluations, and the same again where it is compared with random weights. */
function worksOf(options: Options, { train, validation, test }: TextSets<Target>, steps: number): Work[] {
  const { epochs, evaluateEvery } = options
  const evaluations = 1 + (evaluateEvery === undefined ? epochs : Math.floor(steps / evaluateEvery))
  const work: Work = {
    steps,
    texts: epochs * train.length,
    // The first evaluation comes before the first step; at the end the validation set calibrates.
    evaluated: evaluations * validation.length + test.length,
  }
  return referencesOf(options).includes('random') ? [work, work] : [work]
}

/** What the run records and shows of each step, evaluation and checkpoint. */
function eventsOf(
  { options, data, trainer, device }: Prepared,
  { run, texts, progress, host }: Attempt,
  clock: RunClock,
): TrainerEvents {
  const total = trainer.totalSteps(texts.train)
  const metric = mainMetric(options, data)
  const estimate = new Estimate(worksOf(options, texts, total))
  let validating = false
  return {
    onStep: metrics => {
      run.appendMetrics(clock.timed(metrics))
      progress.update(metrics.step, {
        loss: metrics.loss,
        accuracy: metrics.accuracy,
        examplesPerSecond: metrics.examples_per_second,
      })
      const seconds = estimate.after(metrics.step)
      if (seconds !== undefined)
        progress.note(`At this speed the whole run takes about ${showDuration(seconds)} more on ${device.info.name}`)
      host.onStep?.(metrics.step)
    },
    onSkippedStep: step => {
      run.appendMetrics(clock.timed(step))
      progress.update(step.step, { examplesPerSecond: step.examples_per_second })
      if (step.skipped === 'not finite')
        progress.note(`step ${step.step} is not finite and was left out (--skip-bad-steps ${options.skipBadSteps})`)
    },
    onEvaluationProgress: (done, total) => {
      if (!validating) progress.start('validate', total)
      validating = true
      progress.update(done)
    },
    onEvaluation: async (epoch, step, { figures, loss }, best) => {
      validating = false
      progress.start('train', total, step)
      run.appendMetrics(clock.timed({ step, epoch, split: 'validation', loss, ...nullable(figures) }))
      const when = options.evaluateEvery === undefined ? `epoch ${epoch}` : `step ${step}`
      const label =
        epoch === 0 ? 'validation before training' : `validation after ${when}${best ? ' (best so far)' : ''}`
      progress.note(`${label}: ${metric.title} ${showFigure(metric, figures[metric.name])}, loss ${loss.toFixed(4)}`)
      await host.onEvaluation?.(step, { ...figures, loss })
    },
    onCheckpoint: () => run.flushMetrics(),
    onProfile: async (kernels, { rows, sequence }) => {
      const text = `One step of ${rows} × ${sequence} tokens on ${device.info.name}\n\n${profileTable(kernels, await measureCeilings(device))}\n`
      await run.write('profile.txt', text)
      await run.write('trace.json', JSON.stringify(traceEvents(kernels)))
      progress.note(`\n${text}`)
    },
  }
}
