// Running graphs: reads values to the host, and compiles functions into plans, which are traced once for each set of
// input shapes and then replayed.
import { forgetConstant } from './compile/constants.ts'
import { evaluate } from './compile/eager.ts'
import { Plan, type Feed, type PlanSummary } from './compile/plan.ts'
import { NO_VALUE } from './compile/program.ts'
import type { Assignment } from './compile/canonical.ts'
import type { NonFiniteCause } from './compile/diagnose.ts'
import { UserError } from './errors.ts'
import { exactJson } from './exact.ts'
import { type Value, specOf } from './graph.ts'
import { type Payload, makeSource, payloadOf } from './ops/source.ts'
import { type Device, currentDevice } from './runtime/device.ts'
import type { KernelTime } from './runtime/profiler.ts'
import { Recent } from './recent.ts'
import { sizeOf } from './shape.ts'
import type { Storage } from './storage.ts'
import { Tensor, type TensorData, setEvaluator } from './tensor.ts'

const payloadIfSource = ({ node }: Value): Payload | undefined =>
  node.op.kind === 'source' ? payloadOf(node) : undefined

/** Copies several tensors to the host, computed in one run. Throws a UserError inside a compiled function. */
export async function readAll(tensors: readonly Tensor[]): Promise<TensorData[]> {
  const values = tensors.map(t => t.value)
  const device = await currentDevice()
  const made = values.filter(({ node }) => node.op.kind !== 'source')
  const results = made.length > 0 ? await evaluate(device, made) : []
  let next = 0
  return Promise.all(
    values.map(async value => {
      const payload = payloadIfSource(value)
      if (!payload) return results[next++]
      if (payload.kind === 'constant') return payload.data.slice()
      if (payload.kind === 'placeholder') throw new UserError(NO_VALUE)
      const { shape, dtype } = specOf(value)
      return payload.storage.read(device, dtype, sizeOf(shape))
    }),
  )
}

setEvaluator({
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

/** Arguments and results of a compiled function: tensors in any nesting. Other values are part of the trace's key. */
export type Tree = Leaf | readonly Tree[] | { readonly [key: string]: Tree }
type Leaf = Tensor | number | string | boolean | null | undefined

/** A compiled function. */
export interface Compiled<Arguments extends readonly Tree[], Result extends Tree> {
  /** Runs with these inputs, after tracing if their shapes are new. Resulting tensors can be read or passed on. */
  (...args: Arguments): Promise<Result>
  /** Traces and compiles for these inputs' shapes without running. */
  prepare(...args: Arguments): Promise<PlanSummary>
  /** Runs with these inputs and times every dispatch. Throws a UserError if the adapter has no timestamps. */
  profile(...args: Arguments): Promise<{ result: Result; kernels: KernelTime[] }>
  /**
   * Runs with these inputs without changing any variable, and returns which kernel's output was the first that is not
   * finite, or which variable or input held such numbers before; undefined if all results are finite.
   */
  diagnose(...args: Arguments): Promise<NonFiniteCause | undefined>
  /** The labels of the plan's kernels for inputs of these shapes, in order. */
  kernels(...args: Arguments): Promise<readonly string[]>
}

let tracing: Map<Storage, Assignment> | undefined

/** Records a variable's next value in the function that is being traced. Throws a UserError outside of one. */
export function recordAssignment(assignment: Assignment): void {
  const { storage } = assignment
  const instead = 'use write to copy numbers from the host'
  if (!tracing) throw new UserError(`${storage.label}: assign only works inside a compiled function; ${instead}`)
  tracing.set(storage, assignment)
}

interface Trace {
  readonly plan: Plan
  /** The function's result, with these tensors in it. */
  readonly rebuild: (results: readonly Tensor[]) => Tree
  readonly outputs: readonly Value[]
}

const isRecord = (tree: Tree): tree is { readonly [key: string]: Tree } =>
  typeof tree === 'object' && tree !== null && !(tree instanceof Tensor) && !Array.isArray(tree)

/** A copy of a tree with every tensor replaced by the result of `change`. */
function mapTree(tree: Tree, change: (t: Tensor) => Tree): Tree {
  if (tree instanceof Tensor) return change(tree)
  if (Array.isArray(tree)) return tree.map((part: Tree) => mapTree(part, change))
  if (isRecord(tree)) return Object.fromEntries(Object.entries(tree).map(([key, part]) => [key, mapTree(part, change)]))
  return tree
}

function tensorsIn(tree: Tree): Tensor[] {
  const found: Tensor[] = []
  mapTree(tree, t => {
    found.push(t)
    return t
  })
  return found
}

/** The graph that a traced function builds. */
export interface TracedGraph {
  readonly result: Tree
  /** The values of the tensors in `result`, in order. */
  readonly outputs: readonly Value[]
  readonly assignments: readonly Assignment[]
  /** Identifies the trace to which its placeholders belong. */
  readonly token: object
}

/** Calls `fn` with a placeholder for each tensor in `args`. Runs nothing. Throws a UserError if `fn` is async. */
export function traceGraph<Arguments extends readonly Tree[], Result extends Tree>(
  fn: (...args: Arguments) => Result,
  args: Arguments,
): TracedGraph {
  let position = 0
  const assignments = new Map<Storage, Assignment>()
  const inputs = mapTree(args, t =>
    makeSource(t.shape, t.dtype, { kind: 'placeholder', position: position++, trace: assignments }),
  )
  tracing = assignments
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
  return { result, outputs, assignments: [...assignments.values()], token: assignments }
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

/**
 * Compiles a function of tensors: it is traced once for each set of input shapes and then replayed, without building a
 * graph or allocating memory, in one submit. The function itself runs only while it is traced, so it must not depend on
 * anything but its arguments and variables; variables change through `assign`. Calls throw a UserError if the function
 * is async, reads a tensor, or needs more memory or features than the adapter has.
 */
export function compile<Arguments extends readonly Tree[], Result extends Tree>(
  fn: (...args: Arguments) => Result,
): Compiled<Arguments, Result> {
  const tracesOf = new WeakMap<Device, Recent<Promise<Trace>>>()

  const trace = async (device: Device, args: Arguments): Promise<Trace> => {
    const { result, outputs, assignments, token } = traceGraph(fn, args)
    const plan = await Plan.make(device, outputs, assignments, token)
    const rebuild = (results: readonly Tensor[]): Tree => {
      let next = 0
      return mapTree(result, () => results[next++])
    }
    return { plan, rebuild, outputs }
  }

  const traceFor = async (device: Device, args: Arguments): Promise<Trace> => {
    const key = exactJson(mapTree(args, t => ({ '': `${t.dtype}[${t.shape.join()}]` })))
    const traces = tracesOf.get(device) ?? new Recent<Promise<Trace>>(KEPT_PLANS, release)
    tracesOf.set(device, traces)
    const known = traces.get(key)
    if (known) return known
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

  const resultOf = ({ rebuild, outputs }: Trace, results: readonly Storage[]): Result =>
    rebuild(
      results.map((storage, i) => {
        const { shape, dtype } = specOf(outputs[i])
        return makeSource(shape, dtype, { kind: 'storage', storage })
      }),
    ) as Result

  /** A function that finds the trace of its arguments. Throws at once while another function is traced. */
  const withTrace =
    <R>(use: (trace: Trace, args: Arguments, device: Device) => R | Promise<R>) =>
    (...args: Arguments): Promise<R> => {
      // The call would not be replayed.
      if (tracing) throw new UserError('a compiled function was called while another is traced')
      return currentDevice().then(async device => use(await traceFor(device, args), args, device))
    }
  const feedsOf = (args: Arguments): Promise<Feed[]> => Promise.all(tensorsIn(args).map(feedOf))

  const call = withTrace(async (trace, args, device) => {
    const results = await trace.plan.run(await feedsOf(args))
    await device.throttle()
    return resultOf(trace, results)
  })
  return Object.assign(call, {
    prepare: withTrace(({ plan }) => plan.summary),
    kernels: withTrace(({ plan }) => plan.labels),
    diagnose: withTrace(async ({ plan }, args) => plan.diagnose(await feedsOf(args))),
    profile: withTrace(async (trace, args) => {
      const { results, kernels } = await trace.plan.profile(await feedsOf(args))
      return { result: resultOf(trace, results), kernels }
    }),
  })
}
