// Which settings are tried next, by a grid, at random, or by the tree-structured Parzen estimator.
import { type Random, stream } from '../random.ts'
import { type Setting, settingsOf } from './settings.ts'
import { drawPoint, keyOf, pointsIn, pointsOf } from './space.ts'
import { candidatesOf } from './tpe.ts'
import type { Proposal, Spec, Trial, Values } from './types.ts'

/** Every setting of a grid: the points of its spaces, each once, in order. */
export function gridOf({ spaces }: Pick<Spec, 'spaces'>): readonly Values[] {
  const points = new Map<string, Values>()
  for (const point of spaces.flatMap(pointsOf)) {
    const key = keyOf(point)
    if (!points.has(key)) points.set(key, point)
  }
  return [...points.values()]
}

/** An upper limit of a search's different settings: infinite where a range has no steps. */
export const mostSettings = ({ spaces }: Pick<Spec, 'spaces'>): number =>
  spaces.reduce((points, space) => points + pointsIn(space), 0)

/** How many settings a search tries in all. */
export function countOf(spec: Spec): number {
  return spec.search === 'grid' ? gridOf(spec).length : Math.min(spec.settings ?? 0, mostSettings(spec))
}

/** How many trials a search makes in all. */
export const trialCount = (spec: Spec): number => countOf(spec) * spec.seeds.length

/** Draws of a point that has not been tried, before all points are listed. */
const DRAWS = 100

/** A uniform draw among the points that have not been tried; undefined if there are none left. */
function drawUntried(spec: Spec, tried: ReadonlySet<string>, random: Random): Values | undefined {
  for (let i = 0; i < DRAWS; i++) {
    const point = drawPoint(spec.spaces[random.below(spec.spaces.length)], random)
    if (!tried.has(keyOf(point))) return point
  }
  // Where so many draws were in vain, few points are left, and few there are in all.
  const left = Number.isFinite(mostSettings(spec)) ? gridOf(spec).filter(point => !tried.has(keyOf(point))) : []
  return left.length > 0 ? left[random.below(left.length)] : undefined
}

function choose(spec: Spec, number: number, settings: readonly Setting[]): Values | undefined {
  const tried = new Set(settings.map(({ values }) => keyOf(values)))
  const random = stream(spec.seed, `setting ${number}`)
  const candidates = spec.search === 'tpe' ? candidatesOf(spec, settings, random) : []
  return candidates.find(values => !tried.has(keyOf(values))) ?? drawUntried(spec, tried, random)
}

/**
 * Up to `count` settings that have not been tried, given all trials so far; [] once the search has tried all that it
 * will. The same spec and history always give the same settings. Each becomes one trial for each seed of the spec, and
 * belongs to the history from then on.
 */
export function propose(spec: Spec, history: readonly Trial[], count: number): readonly Proposal[] {
  const settings = [...settingsOf(history)]
  const numbers = new Set(settings.map(({ number }) => number))
  const grid = spec.search === 'grid' ? gridOf(spec) : undefined
  const total = grid?.length ?? countOf(spec)
  const proposals: Proposal[] = []
  for (let number = 0; number < total && proposals.length < count; number++) {
    if (numbers.has(number)) continue
    const values = grid ? grid[number] : choose(spec, number, settings)
    if (values === undefined) break
    proposals.push({ setting: number, values })
    settings.push({ number, values, trials: [], state: 'running' })
  }
  return proposals
}
