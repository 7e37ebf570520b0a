// The types of a search over the options of a run: spaces of settings, and trials.

/** What an option takes. */
export type Value = string | number | boolean

/** Options by their names on the command line, without dashes: `{ lr: 1e-4, 'lora-rank': 8 }`. */
export type Values = Readonly<Record<string, Value>>

/** One of a few values, without an order. */
export interface Choices {
  readonly values: readonly Value[]
}

/** A number from `min` to `max`, both included. */
export interface Range {
  readonly min: number
  readonly max: number
  /** `log`: uniform in the logarithm; `min` is above 0. Default: linear. */
  readonly scale?: 'log' | 'linear'
  /** Only `min`, `min + step`, …; linear scale only. Default: 1 for whole numbers, else any number. */
  readonly step?: number
  readonly integer?: boolean
}

export type Parameter = Choices | Range

/** Parameters by the names of their options. */
export type Space = Readonly<Record<string, Parameter>>

/** Asynchronous successive halving (Li et al., "A system for massively parallel hyperparameter tuning", 2020). */
export interface Halving {
  /** Evaluations of a trial before the first decision. Rung k is after `grace * factor ** k` evaluations. */
  readonly grace: number
  /** A trial continues if it is among the best 1 / `factor` of those that have reached the same rung; at least 2. */
  readonly factor: number
}

/** The tree-structured Parzen estimator; the defaults are those of Optuna 5. */
export interface TpeOptions {
  /** Settings drawn at random before the estimator is used; default 10. */
  readonly startup?: number
  /** Candidates of which the best is chosen; default 24. */
  readonly candidates?: number
  /** Whether the parameters of a space are modelled together; default true. */
  readonly multivariate?: boolean
}

/** A search. A setting is one point of a space; each is tried once per seed, and the values of its trials averaged. */
export interface Spec {
  readonly search: 'grid' | 'random' | 'tpe'
  /** Usually one. Of several, each setting is a point of one: the union of grids, or first a space, then its values. */
  readonly spaces: readonly Space[]
  /** How many settings are tried; undefined for a grid, which has a fixed number of points. */
  readonly settings?: number
  /** Each setting is one trial for each of these. */
  readonly seeds: readonly number[]
  /** The metric of the evaluations, such as `accuracy`. */
  readonly metric: string
  readonly direction: 'maximize' | 'minimize'
  readonly halving?: Halving
  readonly tpe?: TpeOptions
  /** Seeds the search itself. */
  readonly seed: number
}

export const TRIAL_STATES = ['waiting', 'running', 'complete', 'pruned', 'failed'] as const
export type TrialState = (typeof TRIAL_STATES)[number]

/** An evaluation of a trial while it trains. */
export interface Intermediate {
  /** The optimizer step at which it was made. */
  readonly step: number
  readonly value: number
}

/** One run: a setting with a seed. */
export interface Trial {
  /** From 0, in the order of creation. */
  readonly number: number
  /** The setting's number, from 0. */
  readonly setting: number
  readonly seed: number
  /** The setting: the parameters that are searched, without the options that all trials share. */
  readonly values: Values
  readonly state: TrialState
  /** The metric, once the trial is complete. */
  readonly value?: number
  /** In the order of their steps. */
  readonly intermediate: readonly Intermediate[]
}

/** A setting to be tried: one trial for each seed. */
export interface Proposal {
  readonly setting: number
  readonly values: Values
}
