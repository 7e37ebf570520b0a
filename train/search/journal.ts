// A sweep as the journal of Optuna's JournalFileBackend, so that optuna-dashboard shows it and Optuna reads it: a line
// of JSON for each operation, in ASCII. The file only grows, since readers continue where they stopped. A trial is a
// trial there, with seed and setting as user attributes; one that is tried again after it failed is a new trial, as with
// Optuna's retries.
import { z } from 'zod'
import { Float, type PythonValue, pythonJson } from './python-json.ts'
import { hasEnded } from './settings.ts'
import { intervalOf, isChoices, parameterNames } from './space.ts'
import type { Choices, Parameter, Range, Space, Spec, Trial, TrialState, Value } from './types.ts'

/** Optuna's codes of operations (JournalOperation), of those that are written here. */
const OPERATIONS = {
  createStudy: 0,
  setStudyUserAttribute: 2,
  setStudySystemAttribute: 3,
  createTrial: 4,
  setState: 6,
  setIntermediate: 7,
  setUserAttribute: 8,
} as const

/** Optuna's TrialState: the position is the number. */
const STATE_NAMES = ['running', 'complete', 'pruned', 'failed', 'waiting'] as const
const codeOf = (state: TrialState): number => STATE_NAMES.indexOf(state)

/** A sweep as a study of Optuna. */
export interface Study {
  readonly name: string
  readonly spec: Pick<Spec, 'spaces' | 'metric' | 'direction'>
  /** Shown with the study, such as the command and its arguments. */
  readonly attributes?: Readonly<Record<string, string>>
}

/** A trial with what Optuna records of it. */
export interface JournalTrial extends Trial {
  readonly startedAt?: Date
  readonly finishedAt?: Date
  /** Shown with the trial once it has ended, such as its worker, its seconds, its error. */
  readonly attributes?: Readonly<Record<string, string | number>>
}

/** A trial as the journal has it. */
interface Written {
  /** Its number in the journal. */
  readonly id: number
  readonly steps: Set<number>
  /** Earlier tries, by their numbers in the journal. */
  readonly retried: readonly number[]
  state: TrialState
  /** When it ended. */
  finished?: string
}

/** The fields of an operation that say which trials a journal has, and their states. */
const operationSchema = z.object({
  op_code: z.int(),
  trial_id: z.int().optional(),
  state: z.int().optional(),
  step: z.int().optional(),
  datetime_complete: z.string().optional(),
  user_attrs: z.object({ trial: z.int().optional() }).optional(),
  system_attrs: z.object({ retry_history: z.array(z.int()).optional() }).optional(),
})

/** All operations are of one writer. */
const WORKER = 'tilegrad'

/** Python's `isoformat` with microseconds, in UTC. */
const timeOf = (date: Date | undefined): string | undefined => date?.toISOString().replace(/Z$/, '000+00:00')
/** Where a time is required and not known. */
const EPOCH = '1970-01-01T00:00:00.000000+00:00'

const operation = (code: number, fields: Readonly<Record<string, PythonValue>>): string =>
  `${pythonJson({ op_code: code, worker_id: WORKER, ...fields }, 'compact')}\n`

/** A parameter over all spaces: the same kind in each. */
function together(spaces: readonly Space[], name: string): Parameter {
  const parameters = spaces.flatMap(space => (Object.hasOwn(space, name) ? [space[name]] : []))
  const choices = parameters.filter((parameter): parameter is Choices => isChoices(parameter))
  if (choices.length > 0) return { values: [...new Set(choices.flatMap(({ values }) => values))] }
  const ranges = parameters.filter((parameter): parameter is Range => !isChoices(parameter))
  const step = ranges.every(range => range.step === ranges[0].step) ? ranges[0].step : undefined
  const [min, max] = [Math.min(...ranges.map(range => range.min)), Math.max(...ranges.map(range => range.max))]
  return { ...ranges[0], min, max, step }
}

/** A parameter as Optuna's distribution, in JSON. */
function distributionOf(parameter: Parameter): string {
  if (isChoices(parameter)) {
    return pythonJson({ name: 'CategoricalDistribution', attributes: { choices: parameter.values } })
  }
  const { low, high, log, step } = intervalOf(parameter)
  const attributes = parameter.integer
    ? { log, step: step ?? 1, low, high }
    : { step: step === undefined ? null : new Float(step), low: new Float(low), high: new Float(high), log }
  return pythonJson({ name: parameter.integer ? 'IntDistribution' : 'FloatDistribution', attributes })
}

/** A value as Optuna stores it: the index of a choice, else the number. */
function storedValue(parameter: Parameter, value: Value): PythonValue {
  return isChoices(parameter) ? parameter.values.indexOf(value) : new Float(Number(value))
}

/** Writes the operations that a journal lacks. */
export class Journal {
  readonly #study: Study
  readonly #parameters: ReadonlyMap<string, Parameter>
  /** By the journal's numbers. */
  readonly #written: Written[] = []
  /** By our numbers: the last try. */
  readonly #latest = new Map<number, Written>()
  #isCreated = false
  /** Length of the lines that are whole; what follows was cut off while it was written, and has to go. */
  readonly length: number

  /**
   * `text` is the journal so far, '' for a new one. Throws if it is not a journal.
   */
  constructor(study: Study, text: string) {
    this.#study = study
    const { spaces } = study.spec
    this.#parameters = new Map(parameterNames(study.spec).map(name => [name, together(spaces, name)]))
    this.length = text.lastIndexOf('\n') + 1
    const lines = text.slice(0, this.length).split('\n').slice(0, -1)
    for (const line of lines) this.#read(JSON.parse(line))
  }

  /** The lines to append, so that the journal says what is known of these trials; '' if it does. */
  append(trials: readonly JournalTrial[]): string {
    const study = this.#isCreated ? [] : this.#createStudy()
    const byNumber = trials.toSorted((a, b) => a.number - b.number)
    return [...study, ...byNumber.flatMap(trial => this.#update(trial))].join('')
  }

  /** Others may write too: optuna-dashboard adds notes, and trials of its own. */
  #read(line: unknown): void {
    const { op_code: code, trial_id: id, ...fields } = operationSchema.parse(line)
    if (code === OPERATIONS.createStudy) this.#isCreated = true
    if (code === OPERATIONS.createTrial) this.#add(fields.user_attrs?.trial, fields.system_attrs?.retry_history ?? [])
    const written = id === undefined ? undefined : this.#written[id]
    if (written && code === OPERATIONS.setState && fields.state !== undefined) {
      written.state = STATE_NAMES[fields.state]
      written.finished = fields.datetime_complete
    }
    if (written && code === OPERATIONS.setIntermediate && fields.step !== undefined) written.steps.add(fields.step)
  }

  #add(number: number | undefined, retried: readonly number[]): Written {
    const written: Written = { id: this.#written.length, state: 'waiting', steps: new Set(), retried }
    this.#written.push(written)
    if (number !== undefined) this.#latest.set(number, written)
    return written
  }

  #createStudy(): string[] {
    const { name, spec, attributes = {} } = this.#study
    this.#isCreated = true
    return [
      operation(OPERATIONS.createStudy, { study_name: name, directions: [spec.direction === 'minimize' ? 1 : 2] }),
      operation(OPERATIONS.setStudySystemAttribute, {
        study_id: 0,
        system_attr: { 'study:metric_names': [spec.metric] },
      }),
      ...Object.entries(attributes).map(([key, value]) =>
        operation(OPERATIONS.setStudyUserAttribute, { study_id: 0, user_attr: { [key]: value } }),
      ),
    ]
  }

  #update(trial: JournalTrial): string[] {
    const before = this.#latest.get(trial.number)
    // Optuna changes no trial that has ended. If ours is running again, or has another time of its end, it was retried.
    const hasOther = before?.state !== trial.state || before.finished !== timeOf(trial.finishedAt)
    const isNew = !before || (hasEnded(before) && hasOther)
    const written = isNew ? this.#add(trial.number, before ? [...before.retried, before.id] : []) : before
    const lines = isNew ? [this.#createTrial(written, trial)] : []
    if (hasEnded(written)) return lines
    if (hasEnded(trial) && written.state === 'waiting') lines.push(setState(written, trial, 'running'))
    if (hasEnded(trial)) lines.push(...report(written, trial), ...attributesOf(written, trial))
    if (trial.state !== written.state) lines.push(setState(written, trial, trial.state))
    if (!hasEnded(trial)) lines.push(...report(written, trial))
    return lines
  }

  #createTrial({ retried }: Written, { number, setting, seed, values }: JournalTrial): string {
    const found = [...this.#parameters].filter(([name]) => Object.hasOwn(values, name))
    return operation(OPERATIONS.createTrial, {
      study_id: 0,
      datetime_start: null,
      state: codeOf('waiting'),
      value: null,
      values: null,
      distributions: Object.fromEntries(found.map(([name, parameter]) => [name, distributionOf(parameter)])),
      params: Object.fromEntries(found.map(([name, parameter]) => [name, storedValue(parameter, values[name])])),
      user_attrs: { trial: number, setting, seed },
      system_attrs: retried.length > 0 ? { failed_trial: retried[0], retry_history: retried } : {},
      intermediate_values: {},
    })
  }
}

/** Operations for the evaluations that the journal lacks. NaN is left out, since JSON cannot express it. */
function report(written: Written, { intermediate }: JournalTrial): string[] {
  const lacking = intermediate.filter(({ step, value }) => !written.steps.has(step) && !Number.isNaN(value))
  return lacking.map(({ step, value }) => {
    written.steps.add(step)
    return operation(OPERATIONS.setIntermediate, { trial_id: written.id, step, intermediate_value: new Float(value) })
  })
}

const attributesOf = ({ id }: Written, { attributes = {} }: JournalTrial): string[] =>
  Object.entries(attributes).map(([key, value]) =>
    operation(OPERATIONS.setUserAttribute, { trial_id: id, user_attr: { [key]: value } }),
  )

/** As Optuna does, a trial that was pruned has the value of its last evaluation. */
function setState(written: Written, trial: JournalTrial, state: TrialState): string {
  const { value, intermediate, startedAt, finishedAt } = trial
  const reached = state === 'complete' ? value : state === 'pruned' ? intermediate.at(-1)?.value : undefined
  const times = {
    ...(state === 'running' && { datetime_start: timeOf(startedAt ?? finishedAt) ?? EPOCH }),
    ...(hasEnded({ state }) && { datetime_complete: timeOf(finishedAt) ?? EPOCH }),
  }
  written.state = state
  written.finished = times.datetime_complete
  return operation(OPERATIONS.setState, {
    trial_id: written.id,
    state: codeOf(state),
    values: reached === undefined || Number.isNaN(reached) ? null : [new Float(reached)],
    ...times,
  })
}
