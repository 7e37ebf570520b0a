// Running graphs: reads values to the host, and compiles functions into plans, which are traced once for each set of
// input shapes and then replayed.
import { elementsAtHand, staysTheSame } from './at-hand.ts'
import { forgetConstant } from './compile/constants.ts'
import { evaluate } from './compile/eager.ts'
import { Plan, type Feed, type PlanSummary } from './compile/plan.ts'
import { NO_VALUE } from './compile/program.ts'
import type { Assignment } from './compile/canonical.ts'
import type { NonFiniteCause } from './compile/diagnose.ts'
import { withChanceNoticed } from './chance.ts'
import { UserError } from './errors.ts'
import { exactJson } from './exact.ts'
import { type Value, specOf } from './graph.ts'
import { makeSource } from './ops/source.ts'
import { needFunction, needOptions } from './options.ts'
import { type Payload, payloadOf } from './payload.ts'
import { type Device, currentDevice } from './runtime/device.ts'
import type { KernelTime } from './runtime/profiler.ts'
import { Recent } from './recent.ts'
import { MOST_TRACES, Retraces, nameOf } from './retraces.ts'
import { isEmpty, sizeOf } from './shape.ts'
import type { Storage } from './storage.ts'
import { Tensor, type TensorData, needTensorList, nothing, setEvaluator } from './tensor.ts'
import { Fixed, type Given, type PassedAll, type Tree, given, mapLeaves, mapTensors, tensorsIn } from './tree.ts'

const payloadIfSource = ({ node }: Value): Payload | undefined =>
  node.op.kind === 'source' ? payloadOf(node) : undefined

/** Copies several tensors to the host, computed in one run. Throws a UserError inside a compiled function. */
export async function readAll(tensors: readonly Tensor[]): Promise<TensorData[]> {
  needTensorList('readAll', tensors)
  const values = tensors.map(t => t.value)
  const made = values.filter(({ node }) => node.op.kind !== 'source')
  const results = made.length > 0 ? await evaluate(await currentDevice(), made) : []
  let next = 0
  return Promise.all(
    values.map(async value => {
      const payload = payloadIfSource(value)
      if (!payload) return results[next++]
      if (payload.kind === 'constant') return payload.data.slice()
      if (payload.kind === 'host') return payload.read().slice()
      if (payload.kind === 'placeholder') throw new UserError(NO_VALUE)
      const { shape, dtype } = specOf(value)
      return payload.storage.read(await currentDevice(), dtype, sizeOf(shape))
    }),
  )
}

setEvaluator({
  atHand: elementsAtHand,
  staysTheSame,
  read: async value => (await readAll([new Tensor(value)]))[0],
  release({ node }) {
    const payload = payloadOf(node)
    if (payload.kind === 'constant') forgetConstant(node)
    else if (payload.kind === 'storage') {
      if (!payload.storage.isResult)
        throw new UserError(`${payload.storage.label}: a variable's tensor can't be disposed of: release the variable`)
      payload.storage.end()
    }
  },
})

/** A compiled function. */
export interface Compiled<Arguments extends readonly Tree[], Result extends Tree> {
  /** Runs with these inputs, after tracing if their shapes are new. Resulting tensors can be read or passed on. */
  (...args: PassedAll<Arguments>): Promise<Result>
  /** Traces and compiles for these inputs' shapes without running. */
  prepare(...args: PassedAll<Arguments>): Promise<PlanSummary>
  /** Runs with these inputs and times every dispatch. Throws a UserError if the adapter has no timestamps. */
  profile(...args: PassedAll<Arguments>): Promise<{ result: Result; kernels: KernelTime[] }>
  /**
   * Runs with these inputs without changing any variable, and returns which kernel's output was the first that is not
   * finite, or which variable or input held such numbers before; undefined if all results are finite.
   */
  diagnose(...args: PassedAll<Arguments>): Promise<NonFiniteCause | undefined>
  /** The labels of the plan's kernels for inputs of these shapes, in order. */
  kernels(...args: PassedAll<Arguments>): Promise<readonly string[]>
}

/** What a function that is being traced has asked for. */
interface Tracing {
  readonly device: Device | undefined
  readonly assignments: Map<Storage, Assignment>
  readonly preparations: (() => Promise<void>)[]
}

let tracing: Tracing | undefined

/** Records a variable's next value in the function that is being traced. Throws a UserError outside of one. */
export function recordAssignment(assignment: Assignment): void {
  const { storage } = assignment
  const instead = 'use write to copy numbers from the host'
  if (!tracing) throw new UserError(`${storage.label}: assign only works inside a compiled function; ${instead}`)
  tracing.assignments.set(storage, assignment)
}

/** The value that was recorded for a variable; undefined if there is none, and outside of compiled functions. */
export const recordedValue = (storage: Storage): Value | undefined => tracing?.assignments.get(storage)?.value

/**
 * Within a compiled function: the device that it will run on, and a way to have something done before its first run.
 * Undefined outside of one.
 */
export function currentTrace():
  | { readonly device: Device | undefined; beforeRuns(prepare: () => Promise<void>): void }
  | undefined {
  if (!tracing) return undefined
  const { device, preparations } = tracing
  return { device, beforeRuns: prepare => preparations.push(prepare) }
}

interface Trace {
  readonly plan: Plan
  /** The function's result, with these tensors in it. */
  readonly rebuild: (results: readonly Tensor[]) => Tree
  readonly outputs: readonly Value[]
  /** Does once what must be done before the first run. */
  readonly prepared: () => Promise<unknown>
}

/** The graph that a traced function builds. */
export interface TracedGraph {
  readonly result: Tree
  /** The values of the tensors in `result`, in order. */
  readonly outputs: readonly Value[]
  readonly assignments: readonly Assignment[]
  /** What must be done before the first run. */
  readonly preparations: readonly (() => Promise<void>)[]
  /** Identifies the trace to which its placeholders belong. */
  readonly token: object
}

/**
 * Calls `fn` with a placeholder for each tensor in `args`, and with each fixed number. Runs nothing. Throws a UserError
 * if `fn` is async. `device`: the one that the graph is for.
 */
export function traceGraph<Arguments extends readonly Tree[], Result extends Tree>(
  fn: (...args: Arguments) => Result,
  args: PassedAll<Arguments>,
  device?: Device,
): TracedGraph {
  let position = 0
  const trace: Tracing = { device, assignments: new Map(), preparations: [] }
  const inputs = mapLeaves<Tree>(given(args), leaf => {
    if (leaf instanceof Fixed) return leaf.number
    if (!(leaf instanceof Tensor)) return leaf
    return makeSource(leaf.shape, leaf.dtype, { kind: 'placeholder', position: position++, trace })
  })
  tracing = trace
  let result: Result
  try {
    result = fn(...(inputs as unknown as Arguments))
  } finally {
    tracing = undefined
  }
  if (result instanceof Promise) {
    // Swallow its rejection; this error replaces it.
    result.catch(() => undefined)
    throw new UserError('a compiled function must not be async: it is traced in one synchronous call')
  }
  const outputs = tensorsIn(result).map(t => t.value)
  const { assignments, preparations } = trace
  return { result, outputs, assignments: [...assignments.values()], preparations, token: trace }
}

/** Number of plans that a compiled function keeps. The least recently used are dropped, and made again when needed. */
export const KEPT_PLANS = 96

/** A plan that is about to run allocates its memory again. */
const release = (dropped: Promise<Trace>): void => {
  dropped.then(
    ({ plan }) => plan.release(),
    () => undefined,
  )
}

/** Equal for arguments that share a plan: shapes and dtypes of tensors, and everything else as it is. */
const keyOf = (args: Given): string =>
  exactJson(
    mapLeaves(args, leaf => {
      if (typeof leaf === 'number') return { '': 'f32[]' }
      if (leaf instanceof Fixed) return leaf.number
      return leaf instanceof Tensor ? { '': `${leaf.dtype}[${leaf.shape.join()}]` } : leaf
    }),
  )

/** Prints a warning, on stderr under Node. */
const warn = (text: string): void => console.warn(text)

export interface CompileOptions {
  /** Traces after which it warns that its arguments differ too often: 10 when left out, Infinity for never. */
  readonly traces?: number
}

/**
 * Compiles a function of tensors: it is traced once for each set of input shapes and then replayed, without building a
 * graph or allocating memory, in one submit. The function itself runs only while it is traced, so it must not depend on
 * anything but its arguments and variables; variables change through `assign`.
 *
 * A number in the arguments of a call becomes a tensor f32 [], so that all numbers share one plan; `fixed(n)` passes it
 * as a number, and has the function traced for each. Strings and booleans always do.
 *
 * Calls throw a UserError if the function is async, reads a tensor, or needs more memory or features than the adapter
 * has.
 */
export function compile<Arguments extends readonly Tree[], Result extends Tree>(
  fn: (...args: Arguments) => Result,
  options: CompileOptions = {},
): Compiled<Arguments, Result> {
  needFunction('compile', { fn })
  needOptions('compile', options, 'traces')
  const { traces: mostTraces = MOST_TRACES } = options
  const tracesOf = new WeakMap<Device, Recent<Promise<Trace>>>()
  const retraces = new Retraces(fn, mostTraces)
  const noticed = new Set<string>()
  const notice = (name: string): void => {
    if (noticed.has(name)) return
    noticed.add(name)
    warn(`tilegrad: ${name} was called while ${nameOf(fn)} was traced: every later call uses the same value.`)
  }

  const trace = async (device: Device, args: PassedAll<Arguments>): Promise<Trace> => {
    const { result, outputs, assignments, preparations, token } = withChanceNoticed(
      () => traceGraph(fn, args, device),
      notice,
    )
    // Values without elements are computed nowhere.
    const full = (value: Value): boolean => !isEmpty(specOf(value))
    const assigned = assignments.filter(({ value }) => full(value))
    const plan = await Plan.make(device, outputs.filter(full), assigned, token)
    const rebuild = (results: readonly Tensor[]): Tree => {
      let next = 0
      return mapTensors(result, () => results[next++])
    }
    let preparing: Promise<unknown> | undefined
    const prepared = (): Promise<unknown> => (preparing ??= Promise.all(preparations.map(prepare => prepare())))
    return { plan, rebuild, outputs, prepared }
  }

  /** The trace for these arguments: a new one if there is none, or if memory that it uses has moved since. */
  const traceFor = async (device: Device, args: PassedAll<Arguments>): Promise<Trace> => {
    const key = keyOf(args)
    const traces = tracesOf.get(device) ?? new Recent<Promise<Trace>>(KEPT_PLANS, release)
    tracesOf.set(device, traces)
    const known = traces.get(key)
    if (known) {
      const found = await known
      if (found.plan.isCurrent) return found
      // Unless another call has replaced it meanwhile.
      const latest = traces.get(key)
      if (latest && latest !== known) return latest
      found.plan.release()
    } else {
      const warning = retraces.note(args)
      if (warning !== undefined) warn(warning)
    }
    const made = trace(device, args)
    traces.set(key, made)
    made.catch(() => traces.delete(key))
    return made
  }

  const feedOf = async (t: Tensor): Promise<Feed> => {
    const payload = payloadIfSource(t.value)
    if (payload?.kind === 'constant') return { data: payload.data }
    if (payload?.kind === 'storage') return { storage: payload.storage }
    return { data: await t.data() }
  }

  const resultOf = ({ rebuild, outputs }: Trace, results: readonly Storage[]): Result => {
    let next = 0
    return rebuild(
      outputs.map(value => {
        const spec = specOf(value)
        if (isEmpty(spec)) return nothing(spec)
        return makeSource(spec.shape, spec.dtype, { kind: 'storage', storage: results[next++] })
      }),
    ) as Result
  }

  /** A function that finds the trace of its arguments. Throws at once while another function is traced. */
  const withTrace =
    <R>(use: (trace: Trace, args: Given, device: Device) => R | Promise<R>) =>
    (...args: PassedAll<Arguments>): Promise<R> => {
      // The call would not be replayed.
      if (tracing) throw new UserError('a compiled function was called while another is traced')
      return currentDevice().then(async device => use(await traceFor(device, args), given(args as Given), device))
    }
  const feedsOf = async ({ prepared }: Trace, args: Given): Promise<Feed[]> => {
    await prepared()
    return Promise.all(tensorsIn(args).map(feedOf))
  }

  const call = withTrace(async (trace, args, device) => {
    const results = await trace.plan.run(await feedsOf(trace, args))
    await device.throttle()
    return resultOf(trace, results)
  })
  return Object.assign(call, {
    prepare: withTrace(({ plan }) => plan.summary),
    kernels: withTrace(({ plan }) => plan.labels),
    diagnose: withTrace(async (trace, args) => trace.plan.diagnose(await feedsOf(trace, args))),
    profile: withTrace(async (trace, args) => {
      const { results, kernels } = await trace.plan.profile(await feedsOf(trace, args))
      return { result: resultOf(trace, results), kernels }
    }),
  })
}
