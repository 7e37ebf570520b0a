// What all optimizers have in common: groups of parameters with their own settings, memory for values and what is kept of
// them, the gradient's norm and its clipping, and a step inside a compiled function. What a step does to a value is a
// `Rule`.
import {
  type Device,
  type Tensor,
  type Variable,
  UserError,
  concat,
  currentDevice,
  currentTrace,
  grad,
  hostTensor,
  scalar,
  tensor,
  variable,
} from '../../engine/index.ts'
import { defined, needAll, needArray, needEach, needFunction, needOptions } from '../../engine/options.ts'
import { needTensorList } from '../../engine/tensor.ts'
import { Module, Parameter, forwardContext, inContext } from '../../models/nn.ts'
import type { StateEntry } from '../state.ts'
import { ALIGNMENT, type Arena, checkOwned, flattened, takeOver } from './arenas.ts'

/** A learning rate by the number of the step: 0, 1, … */
export type Rate = (step: number) => number

/** Settings that every optimizer has. A group may have its own. */
export interface CommonSettings {
  /** Learning rate: a number, or a function of the step. */
  readonly lr?: number | Rate
  /** Weight decay; none on parameters for which `decays` is false. */
  readonly weightDecay?: number
  /** Which parameters decay; when left out all but biases and norms. */
  readonly decays?: (parameter: Parameter) => boolean
}

/** Settings of an optimizer as a whole. */
export interface WholeSettings {
  /** Largest global norm of the gradient; 0 for no limit. */
  readonly clip?: number
  /** Seed of dropout in `minimize`; 0 when left out. */
  readonly seed?: number
}

/** Parameters with settings of their own; the optimizer's hold for what is left out. */
export type Group<Settings> = Partial<Settings> & { readonly parameters: Module | readonly Parameter[] }

/** What an optimizer trains: the trainable parameters of a module, a list of parameters, or groups. */
export type Trained<Settings> = Module | readonly Parameter[] | readonly Group<Settings>[]

/** Numbers of one step for one arena, by index. */
export type Numbers = readonly number[]
/** Elements between the rows of numbers: a row may be bound on its own. */
const ROW = ALIGNMENT

/** Traced: what a step of one arena is computed from. All but `numbers` are of its size. */
export interface RuleInput {
  /** f32 [size] */
  readonly values: Tensor
  /** Each f32 [size]. */
  readonly slots: readonly Tensor[]
  /** f32 [size]; to be multiplied by `scale`. */
  readonly gradient: Tensor
  /** f32 []; negative if the step is not to be taken. */
  readonly scale: Tensor
  /** The rule's numbers of this step, f32 [count]. */
  readonly numbers: Tensor
  readonly arena: Pick<Arena, 'held' | 'size'>
}

/** New values and slots. */
export interface RuleOutput {
  readonly values: Tensor
  readonly slots: readonly Tensor[]
}

/** What an optimizer does. */
export interface Rule<Settings> {
  /** Names of what it keeps of each element, such as `m`; all begin as 0. */
  readonly slots: readonly string[]
  /** How many numbers it has, 64 at most. */
  readonly count: number
  /** The numbers of step `t` = 1, 2, … at rate `lr`; `decay` is 0 for what doesn't decay. */
  numbers(settings: Settings, step: { readonly t: number; readonly lr: number; readonly decay: number }): Numbers
  /** Traced: the numbers that depend on `t` (f32 []) by their indices, where only the GPU knows it. */
  corrections?(settings: Settings, t: Tensor): ReadonlyMap<number, Tensor>
  step(input: RuleInput, settings: Settings): RuleOutput
  /** Throws a UserError if it can't train a parameter. */
  check?(parameter: Parameter): void
}

/** Parameters that share a rule and settings. */
export interface Part {
  readonly parameters: readonly Parameter[]
  /** Learning rate at a step, 0, 1, … */
  readonly rate: Rate
  /** Its rate at the peak in multiples of the optimizer's, where the rate is given step by step. */
  readonly factor: number
  readonly decays: (parameter: Parameter) => boolean
  readonly rule: BoundRule
}

/** A rule with its settings. */
export interface BoundRule {
  readonly slots: readonly string[]
  readonly count: number
  numbers(step: { readonly t: number; readonly lr: number; readonly decays: boolean }): Numbers
  corrections(t: Tensor): ReadonlyMap<number, Tensor>
  step(input: RuleInput): RuleOutput
}

/** An arena with what is done to it. */
interface OwnedArena extends Arena {
  readonly rule: BoundRule
  /** Its row among the numbers of a step. */
  readonly row: number
}

/** What every rule's settings have once defaults are filled in. */
type Complete<Settings> = Settings & Required<Pick<CommonSettings, 'lr' | 'weightDecay'>>

const rateOf = (lr: number | Rate): Rate => (typeof lr === 'number' ? () => lr : lr)

/** What settings of these names may be, if they are numbers; a rate may also be a function. */
const LIMITS: Readonly<Partial<Record<string, readonly [least: number, below: number]>>> = {
  lr: [0, Infinity],
  weightDecay: [0, Infinity],
  momentum: [0, Infinity],
  beta1: [0, 1],
  beta2: [0, 1],
  epsilon: [0, Infinity],
  clip: [0, Infinity],
}

/** Throws a UserError on a setting that does not exist, and on a number that is none or out of its limits. */
function needSettings<S extends object>(name: string, given: S, known: readonly string[]): void {
  needOptions(name, given, ...(known as readonly (keyof S & string)[]))
  for (const [setting, value] of Object.entries(defined(given))) {
    const limits = LIMITS[setting]
    if (!limits || (setting === 'lr' && typeof value === 'function')) continue
    const [least, below] = limits
    if (!(typeof value === 'number' && value >= least && value < below)) {
      const expected = `a number of at least ${least}${below < Infinity ? ` and below ${below}` : ''}`
      throw new UserError(`${name}: ${setting} is ${String(value)}, but ${expected} was expected`)
    }
  }
}

/**
 * The parts of an optimizer with one rule, or one that depends on a group's settings. `defaults` hold where neither a
 * group nor `settings` say otherwise. Throws a UserError if there is nothing to train, on a parameter in two groups, on
 * one that the rule can't train, and on settings that do not exist or are out of their limits.
 */
export function partsOf<Settings extends CommonSettings, Full extends Complete<Settings>>(
  name: string,
  trained: Trained<Settings>,
  ruleOf: Rule<Full> | ((settings: Full) => Rule<Full>),
  defaults: Full,
  options: Settings & WholeSettings,
): Part[] {
  const known = [...Object.keys(defaults), 'decays']
  needSettings(name, options, [...known, 'clip', 'seed'])
  const whole = { ...defaults, ...defined(options) }
  const seen = new Set<Parameter>()
  return groupsOf(name, trained).map(({ parameters, own }) => {
    needSettings(name, defined(own), ['parameters', ...known])
    const all = { ...whole, ...defined(own) }
    const { lr, weightDecay, decays = (parameter: Parameter): boolean => parameter.decays } = all
    const rule = typeof ruleOf === 'function' ? ruleOf(all) : ruleOf
    if (parameters.length === 0) throw new UserError(`${name} has nothing to train: no parameter is trainable`)
    for (const parameter of parameters) {
      if (seen.has(parameter)) throw new UserError(`${parameter.name} is in two groups of an optimizer`)
      seen.add(parameter)
      rule.check?.(parameter)
    }
    const [peak, base] = [lr, whole.lr].map(rate => (typeof rate === 'number' ? rate : 1))
    return {
      parameters,
      rate: rateOf(lr),
      factor: base === 0 ? 1 : peak / base,
      decays,
      rule: {
        slots: rule.slots,
        count: rule.count,
        numbers: ({ decays, ...step }) => rule.numbers(all, { ...step, decay: decays ? weightDecay : 0 }),
        corrections: t => rule.corrections?.(all, t) ?? new Map<number, Tensor>(),
        step: input => rule.step(input, all),
      },
    }
  })
}

/** The groups, each with what it has of its own. */
function groupsOf<Settings>(
  name: string,
  trained: Trained<Settings>,
): { readonly parameters: readonly Parameter[]; readonly own: Partial<Settings> }[] {
  const need = (fits: boolean): void => {
    if (!fits)
      throw new UserError(`${name}: a module, an array of parameters, or groups { parameters, lr, … } were expected`)
  }
  const listOf = (given: Module | readonly Parameter[]): readonly Parameter[] => {
    const list = given instanceof Module ? given.trainable() : given
    need(Array.isArray(list) && list.every(each => each instanceof Parameter))
    return list
  }
  if (trained instanceof Module) return [{ parameters: listOf(trained), own: {} }]
  need(Array.isArray(trained) && trained.every(each => each instanceof Object))
  const isGroup = (each: Parameter | Group<Settings>): each is Group<Settings> => !(each instanceof Parameter)
  const groups = trained.filter(isGroup)
  need(groups.length === 0 || groups.length === trained.length)
  if (groups.length > 0) return groups.map(own => ({ parameters: listOf(own.parameters), own }))
  return [{ parameters: trained.filter(each => each instanceof Parameter), own: {} }]
}

/** Trains parameters whose memory it takes over when it is first used. */
export class Optimizer {
  readonly #parts: readonly Part[]
  readonly #settings: Required<WholeSettings>
  #arenas: readonly OwnedArena[] | undefined
  #settling: (() => Promise<void>)[] = []
  #steps = 0
  /** What a step in `minimize` reads from the host: the numbers of its arenas, and its number for dropout. */
  readonly #numbers: Tensor
  readonly #step: Tensor

  constructor(parts: readonly Part[], { clip = 0, seed = 0 }: WholeSettings = {}) {
    needArray('Optimizer', parts, 'parts')
    this.#parts = parts
    this.#settings = { clip, seed }
    this.#numbers = hostTensor(
      { shape: [2 * parts.length, ROW], dtype: 'f32' },
      () => this.#rows(this.#steps + 1, ({ rate }) => rate(this.#steps)),
      () => this.#steps++,
    )
    this.#step = hostTensor({ shape: [], dtype: 'u32' }, () => Uint32Array.of(this.#steps))
  }

  /** What it trains, in order. */
  get parameters(): readonly Parameter[] {
    return this.#parts.flatMap(({ parameters }) => parameters)
  }

  /** Steps that `minimize` and `apply` have taken; to be set when a training goes on. */
  get steps(): number {
    return this.#steps
  }

  set steps(steps: number) {
    this.#steps = steps
  }

  /** Its parts: what `together` puts together. */
  get parts(): readonly Part[] {
    return this.#parts
  }

  get settings(): Required<WholeSettings> {
    return this.#settings
  }

  /** Bytes of parameters and of what is kept of them. */
  get bytes(): number {
    return this.#owned.reduce((sum, { size, slots }) => sum + (1 + slots.length) * 4 * size, 0)
  }

  /**
   * Inside a compiled function: computes a loss (one element) by `loss`, in which dropout is on, and takes a step that
   * makes it smaller. Returns the loss before the step. Nothing changes if the gradient is not finite. Throws a UserError
   * outside of compiled functions, where it was called in this one before, and if another optimizer has taken over its
   * parameters.
   */
  minimize(loss: () => Tensor): Tensor {
    needFunction('minimize', { loss })
    this.#begin('minimize')
    const context = forwardContext({ training: true, seed: this.#settings.seed, step: this.#step })
    const value = inContext(context, loss)
    const gradients = grad(
      value,
      this.parameters.map(parameter => parameter.tensor),
    )
    this.apply(gradients)
    return value
  }

  /**
   * Inside a compiled function: takes a step from the gradients of `parameters`, in their order, and returns their global
   * norm, f32 [], before clipping. Throws as `minimize` does.
   */
  apply(gradients: readonly Tensor[]): Tensor {
    needTensorList('apply', gradients)
    this.#begin('apply')
    return this.update(this.flatten(this.parameters, gradients), this.#numbers)
  }

  /** Moves the parameters into its own memory now, and waits for it. Otherwise its first step does so. */
  async adopt(maxArenaBytes?: number): Promise<this> {
    this.#take(maxArenaBytes ?? bindingLimit(await currentDevice()))
    await this.#settle()
    return this
  }

  /** Numbers of optimizer step `t` = 1, 2, … at learning rate `lr`: an input of a compiled step. */
  hyper(t: number, lr: number): Tensor {
    const rows = this.#rows(t, ({ factor }) => lr * factor)
    return tensor(rows, [2 * this.#parts.length, ROW])
  }

  /** Gradients of these parameters, as one flat tensor for each arena. Throws an Error if one is missing. */
  flatten(parameters: readonly Parameter[], gradients: readonly Tensor[]): Tensor[] {
    const of = new Map(parameters.map((parameter, i) => [parameter, gradients[i]]))
    return this.#owned.map(arena =>
      flattened(arena, parameter => {
        const gradient = of.get(parameter)
        if (!gradient) throw new Error(`no gradient for ${parameter.name}`)
        return gradient
      }),
    )
  }

  /** Variables for sums of flat gradients over several batches. */
  accumulators(): Variable[] {
    return this.#owned.map(({ size }, i) => variable({ shape: [size], dtype: 'f32' }, `gradients.${i}`))
  }

  /**
   * Inside a compiled function: one step from flat gradients, which were multiplied by `lossScale` (f32 []). Gives the
   * true global norm of the gradient, f32 []; where it is not finite, or `mayTake` gives 0 for it (u32 []), nothing
   * changes. `t` (f32 []) is the step's number for the bias corrections, where only the GPU knows it: those of `hyper`
   * don't count then.
   */
  update(
    flat: readonly Tensor[],
    hyper: Tensor,
    lossScale: Tensor = scalar(1),
    t?: Tensor,
    mayTake: (norm: Tensor) => Tensor = () => scalar(1, 'u32'),
  ): Tensor {
    const { clip } = this.#settings
    const squares = flat.map(g => g.mul(lossScale.reciprocal()).square().sum())
    const norm = squares.reduce((a, b) => a.add(b)).sqrt()
    // As torch's clip_grad_norm_; a negative scale makes a rule skip the step.
    const clipped = clip > 0 ? scalar(clip).div(norm.add(1e-6)).minimum(1) : scalar(1)
    const scale = norm.isFinite().where(mayTake(norm).where(clipped.div(lossScale), -1), -1)
    this.#owned.forEach((arena, i) => {
      const { values, slots, rule, row } = arena
      const given = hyper.slice([row, 0], [row + 1, rule.count]).reshape([rule.count])
      const numbers = t ? replaced(given, rule.corrections(t)) : given
      const next = rule.step({
        values: values.tensor,
        slots: slots.map(slot => slot.tensor),
        gradient: flat[i],
        scale,
        numbers,
        arena,
      })
      values.assign(next.values)
      slots.forEach((slot, k) => slot.assign(next.slots[k]))
    })
    return norm
  }

  /** The name of the parameter that has this element of an arena's variable, and which of its elements that is. */
  placeOf(variable: string, element: number): { readonly name: string; readonly element: number } | undefined {
    const arena = this.#owned.find(({ values, slots }) => [values, ...slots].some(({ name }) => name === variable))
    const held = arena?.held.findLast(({ offset }) => offset <= element)
    return held && { name: held.parameter.name, element: element - held.offset }
  }

  /** Everything that a checkpoint keeps. */
  state(): StateEntry[] {
    return this.#owned.flatMap(({ values, slots }) =>
      [values, ...slots].map(variable => ({ name: variable.name, variable })),
    )
  }

  /** By the parameters' names: what is kept of each beside its value, where it is in its variable. */
  slots(): {
    readonly parameter: Parameter
    readonly name: string
    readonly variable: Variable
    readonly at: number
  }[] {
    return this.#owned.flatMap(({ held, slots, rule }) =>
      held.flatMap(({ parameter, offset }) =>
        slots.map((variable, i) => ({ parameter, name: rule.slots[i], variable, at: offset })),
      ),
    )
  }

  get #owned(): readonly OwnedArena[] {
    if (!this.#arenas) throw new UserError('the optimizer has no memory yet: await adopt() first')
    return this.#arenas
  }

  /** Before a step in a compiled function. */
  #begin(method: string): void {
    const trace = currentTrace()
    if (!trace) {
      throw new UserError(`${method} only works inside a compiled function: compile(() => optimizer.${method}(…))`)
    }
    this.#take(bindingLimit(trace.device))
    trace.beforeRuns(() => this.#settle())
    for (const arena of this.#owned) {
      checkOwned(arena)
      if (arena.values.next !== arena.values.tensor)
        throw new UserError('an optimizer takes one step in a compiled function: add the losses up')
    }
  }

  #take(maxBytes: number): void {
    if (this.#arenas) return
    const arenas: OwnedArena[] = []
    for (const [i, { parameters, rule, decays }] of this.#parts.entries()) {
      const group = this.#parts.length === 1 ? '' : `group${i}.`
      for (const decay of [true, false]) {
        const name = `${group}${decay ? 'decayed' : 'undecayed'}`
        const taken = takeOver(
          parameters.filter(parameter => decays(parameter) === decay),
          name,
          rule.slots,
          maxBytes,
        )
        arenas.push(...taken.arenas.map(arena => ({ ...arena, rule, row: 2 * i + (decay ? 0 : 1) })))
        this.#settling.push(() => taken.settle())
      }
    }
    this.#arenas = arenas
  }

  async #settle(): Promise<void> {
    const settling = this.#settling
    this.#settling = []
    for (const settle of settling) await settle()
  }

  #rows(t: number, rateOf: (part: Part) => number): Float32Array<ArrayBuffer> {
    const rows = new Float32Array(2 * this.#parts.length * ROW)
    for (const [i, part] of this.#parts.entries()) {
      const lr = rateOf(part)
      if (!Number.isFinite(lr)) throw new UserError(`the learning rate of step ${t - 1} is ${lr}`)
      for (const decays of [true, false])
        rows.set(part.rule.numbers({ t, lr, decays }), (2 * i + (decays ? 0 : 1)) * ROW)
    }
    return rows
  }
}

const isOptimizer = (argument: unknown): boolean => argument instanceof Optimizer

/** Throws a UserError unless these arguments are optimizers. */
export const needOptimizer = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'an optimizer', isOptimizer, given)

/**
 * One optimizer that takes the steps of several, each for its own parameters. The gradient's norm is that of all, and
 * `clip` holds for it. Throws a UserError if two train the same parameter.
 */
export function together(optimizers: readonly Optimizer[], settings: WholeSettings = {}): Optimizer {
  needEach('together', 'optimizers', 'an optimizer', isOptimizer, optimizers)
  const parts = optimizers.flatMap(optimizer => optimizer.parts)
  const all = parts.flatMap(({ parameters }) => parameters)
  const twice = all.find((parameter, i) => all.indexOf(parameter) !== i)
  if (twice) throw new UserError(`two optimizers train ${twice.name}`)
  return new Optimizer(parts, settings)
}

/** Bytes that one binding holds on a device; on an unknown one what every adapter allows. */
const bindingLimit = (device: Device | undefined): number =>
  device?.gpu.limits.maxStorageBufferBindingSize ?? 128 * 2 ** 20

/** A vector of numbers with some of them replaced, each f32 []. */
function replaced(numbers: Tensor, by: ReadonlyMap<number, Tensor>): Tensor {
  const parts: Tensor[] = []
  let done = 0
  for (const [index, value] of [...by].sort(([a], [b]) => a - b)) {
    if (index > done) parts.push(numbers.slice([done], [index]))
    parts.push(value.reshape([1]))
    done = index + 1
  }
  if (done < numbers.size) parts.push(numbers.slice([done], [numbers.size]))
  return parts.length === 1 ? parts[0] : concat(parts)
}

/** The i-th of a rule's numbers, f32 [1]. */
export const numberAt = (numbers: Tensor, i: number): Tensor => numbers.slice([i], [i + 1])

/** New values and slots where the step is taken, else the old ones. */
export function ifTaken({ values, slots, scale }: RuleInput, next: RuleOutput): RuleOutput {
  const isTaken = scale.greaterEqual(0)
  return {
    values: isTaken.where(next.values, values),
    slots: next.slots.map((slot, i) => isTaken.where(slot, slots[i])),
  }
}
