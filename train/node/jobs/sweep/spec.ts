// What a sweep is told: a YAML or JSON file, the command line, or both, where the command line counts. All of it is
// checked, with the options of every trial, before anything runs.
import { metricsOf } from '../../../metrics/summary.ts'
import { mostSettings } from '../../../search/propose.ts'
import { sizeOf } from '../../../search/space.ts'
import type { Spec } from '../../../search/types.ts'
import { TASK_NAMES } from '../../../tasks/infer.ts'
import { nearest } from '../../cli/table.ts'
import { argumentsOf, checkNames, checkTrials } from './check.ts'
import { COMMANDS } from './commands.ts'
import { type Fields, MOST_TRIALS, fieldError, heldAt, readFields, show } from './fields.ts'
import { pathOf, readSpaces } from './parameters.ts'
import type { Plan } from './plan.ts'
import { type Path, type Source, readSource } from './source.ts'

const METRICS = TASK_NAMES.flatMap(task => [...metricsOf(task, 2), ...metricsOf(task, 3)])

/** Which way the metric is better, if the spec does not say. */
function directionOf({ metric, direction }: Fields, source: Source): Spec['direction'] {
  const names = ['loss', ...new Set(METRICS.map(({ name }) => name))]
  if (!names.includes(metric)) {
    const meant = nearest(metric, names)
    const hint = meant === undefined ? `there are ${names.join(', ')}` : `did you mean ${meant}?`
    throw fieldError(source, ['metric'], `${show(metric)} is unknown: ${hint}`)
  }
  const isLarger = METRICS.some(({ name, better }) => name === metric && better === 'larger')
  return direction ?? (isLarger ? 'maximize' : 'minimize')
}

function specOf(fields: Fields, source: Source): Spec {
  const { search, settings, seeds, seed, metric, halving, tpe } = fields
  const repeated = seeds.findIndex((one, i) => seeds.indexOf(one) < i)
  if (repeated >= 0) throw fieldError(source, ['seeds', repeated], `${seeds[repeated]} is in the list twice`)
  if (tpe && search !== 'tpe') throw fieldError(source, ['tpe'], `is for search: tpe; this is ${search}`)
  return {
    search,
    spaces: readSpaces(fields, source),
    ...(settings !== undefined && { settings }),
    seeds,
    metric,
    direction: directionOf(fields, source),
    ...(halving && { halving }),
    ...(tpe && { tpe }),
    seed,
  }
}

/** Throws a UserError where a search has no end, too many trials, or more settings than there are. */
function checkCounts(spec: Spec, fields: Fields, source: Source): void {
  const { search, settings, seeds, spaces } = spec
  const most = mostSettings(spec)
  if (search === 'grid') {
    const endless = spaces.flatMap((space, index) =>
      Object.entries(space).flatMap(([name, parameter]) =>
        sizeOf(parameter) === Infinity ? [pathOf(fields, index, name)] : [],
      ),
    )
    if (endless.length > 0)
      throw fieldError(source, endless[0], 'a grid takes a list, or a range with a step; random and tpe take any range')
    if (settings !== undefined)
      throw fieldError(source, ['settings'], `is for search: random and tpe; this grid has ${most}`)
  } else {
    if (settings === undefined) throw fieldError(source, ['search'], `${search} needs settings, the number to try`)
    if (settings > most)
      throw fieldError(source, ['settings'], `${settings} is more than the ${most} different settings`)
  }
  const trials = (settings ?? most) * seeds.length
  if (trials > MOST_TRIALS) throw fieldError(source, [], `${trials} trials are too many: the maximum is ${MOST_TRIALS}`)
}

/** Throws a UserError where trials have no evaluation after which they could be stopped. */
function checkHalving({ command, options }: Fields, { halving, spaces }: Spec, source: Source): void {
  if (!halving) return
  const { parse, evaluates, flags } = COMMANDS[command]
  if (!evaluates) throw fieldError(source, ['halving'], `${command} does not evaluate while it trains`)
  const isSearched = (name: string): boolean => spaces.some(space => name in space)
  if (isSearched('epochs') || isSearched('evaluate-every')) return
  const shared = argumentsOf(options, flags).filter(argument => /^--(epochs|evaluate-every)=/.test(argument))
  const { epochs, evaluateEvery } = parse(shared)
  if (evaluateEvery === undefined && epochs !== undefined && epochs <= halving.grace) {
    const says = `never stops a trial: with epochs ${epochs} and no evaluate-every, the first decision comes at the end of a trial`
    throw fieldError(source, ['halving'], says)
  }
}

/** Reads and checks what a source says. Throws a UserError with the place of the first thing that is wrong. */
export function readPlan(source: Source): Plan {
  const fields = readFields(source)
  const spec = specOf(fields, source)
  checkNames(spec, fields, source)
  checkCounts(spec, fields, source)
  checkTrials(fields.command, spec, fields, source)
  checkHalving(fields, spec, source)
  const shared = argumentsOf(fields.options)
  const metric = COMMANDS[fields.command].evaluates ? [`--best-metric=${spec.metric}`] : []
  return { command: fields.command, spec, arguments: [...shared, ...metric] }
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A source whose fields count before those of another; the fields of `options` are merged one by one. */
function over(first: Source, second: Source): Source {
  const merged = (a: unknown, b: unknown): object => ({ ...(isObject(b) ? b : {}), ...(isObject(a) ? a : {}) })
  const value = merged(first.value, second.value)
  const [ours, theirs] = [heldAt(first.value, ['options']), heldAt(second.value, ['options'])]
  // Options that are not a map are left as they are: the schema refuses them.
  const options = isObject(ours) && isObject(theirs) ? { options: merged(ours, theirs) } : {}
  const isFirst = (path: Path): boolean => {
    const part = path[0] === 'options' && isObject(theirs) ? path.slice(0, 2) : path.slice(0, 1)
    return part.length > 0 && heldAt(first.value, part) !== undefined
  }
  return {
    value: { ...value, ...options },
    where: path => (isFirst(path) ? first : second).where(path),
  }
}

/** The plan of a file, of the command line, or of a file with changes on the command line. */
export async function openPlan(file: string | undefined, commandLine: Source): Promise<Plan> {
  if (file === undefined) return readPlan(commandLine)
  const source = await readSource(file)
  // Anything but a map of fields is refused with its place in the file.
  return readPlan(isObject(source.value) ? over(commandLine, source) : source)
}
