// The teacher of a distilled run: a trained model of the same task and labels, a transformer or a baseline, whose answers
// to the training texts are computed once, before training. It reads the texts itself, so its tokenizer and its size may
// be any.
import { UserError } from '../../../../engine/index.ts'
import { count } from '../../../counts.ts'
import { showName } from '../../../data/table.ts'
import { countParameters } from '../../../../models/index.ts'
import { classifierOf, openTrained } from '../../../../models/node/open-classifier.ts'
import type { Progress as Download } from '../../../../models/node/hub-cache.ts'
import type { Problem, Scored, TextInput } from '../../../../models/prediction.ts'
import type { TextSets } from '../../../shapes.ts'
import { PROBLEM_OF } from '../../../tasks/index.ts'
import { TASK_NAMES, TASK_TEXTS, type Target, type TaskPlan } from '../../../tasks/infer.ts'
import type { Options } from '../../cli/options.ts'
import type { Progress } from '../../cli/progress.ts'
import type { EncodedExample } from '../../data/encode.ts'
import type { Example } from '../../data/labelled.ts'
import { openBaseline, settingsAt } from '../baseline/saved.ts'
import { baselineHash, modelHash } from '../fingerprint.ts'
import type { Run } from '../../run/folder.ts'
import { sameLabels } from '../model.ts'
import { isBaseline } from '../named.ts'
import { trainedAt } from '../predict.ts'
import type { EncodedSets } from '../shared.ts'
import { keptAnswers } from './taught.ts'

export interface Teacher {
  /** As it is given. */
  readonly name: string
  /** Of transformers the architecture, of baselines what `baseline --model` calls them. */
  readonly family: string
  readonly parameters: number
  /** Of a model or an adapter on the Hub. */
  readonly commit: string | undefined
  /** SHA-256 of all that it is made of, with the Hub's commits. */
  readonly fingerprint: string
  readonly problem: Problem
  readonly labels: readonly string[]
  /** Answers texts; `onProgress` is called with the number of those that are done. */
  score(texts: readonly TextInput[], onProgress: (done: number) => void): Promise<readonly Scored[]>
  /** Frees the memory that it takes on the GPU. */
  release(): void
}

/**
 * Opens the model of `--teacher`, at this commit for a resumed run; undefined where there is none. Throws a UserError
 * unless it was trained for the same task and labels.
 */
export async function openTeacher(
  { teacher: name }: Pick<Options, 'teacher'>,
  plan: TaskPlan,
  progress: Download,
  commit?: string,
): Promise<Teacher | undefined> {
  if (name === undefined) return undefined
  const place = await trainedAt(name)
  const teacher = (await isBaseline(place))
    ? await teachingBaseline(place, name)
    : await teachingTransformer(place, name, progress, commit)
  checkTask(teacher, plan)
  return teacher
}

async function teachingTransformer(
  place: string,
  name: string,
  progress: Download,
  revision?: string,
): Promise<Teacher> {
  const trained = await openTrained(place, { revision, progress })
  const {
    model,
    tokenizer,
    source,
    answers: { problem, labels },
  } = trained
  const { commit, adapter } = source
  const hash = await modelHash({ ...source, config: model.config, tokenizer })
  return {
    name,
    family: model.config.family,
    parameters: countParameters(model).total,
    commit: adapter ? adapter.commit : commit,
    fingerprint: [hash, commit ?? '', adapter?.commit ?? ''].join(' ').trim(),
    problem,
    labels,
    score: (texts, onProgress) => classifierOf(trained).score(texts, onProgress),
    release() {
      for (const parameter of model.parameters()) parameter.variable?.release()
    },
  }
}

async function teachingBaseline(place: string, name: string): Promise<Teacher> {
  const { model: family } = await settingsAt(place)
  const classifier = await openBaseline(place)
  const { problem, labels } = classifier.options
  return {
    name,
    family,
    parameters: classifier.parameters,
    commit: undefined,
    fingerprint: await baselineHash(place),
    problem,
    labels,
    score: (texts, onProgress) => classifier.score(texts, onProgress),
    release: () => undefined,
  }
}

/** Throws a UserError unless the teacher's answers mean what the student's do. */
function checkTask({ name, problem, labels }: Teacher, { task, labels: wanted }: TaskPlan): void {
  if (problem !== PROBLEM_OF[task]) {
    const other = TASK_NAMES.find(each => PROBLEM_OF[each] === problem) ?? task
    throw new UserError(`--teacher ${name} was trained for ${TASK_TEXTS[other]}, but the task is ${TASK_TEXTS[task]}`)
  }
  if (sameLabels(labels, wanted)) return
  const listed = (all: readonly string[]): string => all.map(label => showName(label)).join(', ')
  throw new UserError(`--teacher ${name} was trained for other labels (${listed(labels)}) than ${listed(wanted)}`)
}

/** The teacher, and how much its answers count, in a line. */
export function teacherText(
  { name, parameters }: Teacher,
  { distillWeight, distillTemperature }: Pick<Options, 'distillWeight' | 'distillTemperature'>,
): string {
  const share = `${distillWeight} of the loss, at temperature ${distillTemperature}`
  return `Teacher: ${name} (${count(parameters)} parameters), whose answers are ${share}`
}

/** How a teacher is asked. */
interface Asking {
  readonly progress: Progress
  /** Gives the answers that an earlier job got, or those that `ask` gets. */
  readonly remember: (ask: () => Promise<readonly Float32Array[]>) => Promise<readonly Float32Array[]>
  /** One that may have kept the answers. */
  readonly run?: Run
}

/**
 * The same sets with the teacher's answer to each training text, asked for, remembered, or as a resumed run's folder has
 * it; `train` are the texts themselves.
 */
export async function withAnswers(
  texts: EncodedSets,
  train: readonly Example[],
  teacher: Teacher,
  { progress, remember, run }: Asking,
): Promise<TextSets<Target>> {
  const width = teacher.labels.length
  const lengths = texts.train.map(({ firstOf }) => (firstOf?.length ?? 1) * width)
  const kept = run && (await keptAnswers(run, lengths, line => progress.note(line)))
  const answers = kept ?? (await remember(() => answersOf(teacher, train, texts.train, progress)))
  // It takes no part in training, which needs the memory.
  teacher.release()
  return { ...texts, train: texts.train.map((text, i) => ({ ...text, taught: answers[i] })) }
}

async function answersOf(
  teacher: Teacher,
  train: readonly Example[],
  encoded: readonly Pick<EncodedExample, 'firstOf'>[],
  progress: Progress,
): Promise<readonly Float32Array[]> {
  progress.start('teacher', train.length)
  const scored = await teacher.score(train.map(inputOf), done => progress.update(done))
  progress.stop()
  return encoded.map(({ firstOf }, i) => (firstOf ? byToken(scored[i], firstOf) : scored[i].logits))
}

/**
 * Answers to words, [tokens · labels], at the tokens with which the student's words begin (`own`, the index of the word
 * or −1); NaN at others, and where the teacher has cut the text before the word.
 */
export function byToken(
  { logits, firstOf = [] }: Pick<Scored, 'logits' | 'firstOf'>,
  own: readonly number[],
): Float32Array {
  const width = logits.length / firstOf.length
  const placeOf = new Map(firstOf.map((word, at) => [word, at]))
  const answers = new Float32Array(own.length * width).fill(NaN)
  own.forEach((word, at) => {
    const place = word < 0 ? undefined : placeOf.get(word)
    if (place !== undefined) answers.set(logits.subarray(place * width, (place + 1) * width), at * width)
  })
  return answers
}

const inputOf = ({ text, pair, words }: Example): TextInput =>
  words ? { words } : pair === undefined ? text : { text, pair }
