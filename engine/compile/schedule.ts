// From a graph to a list of dispatches: the graph is made canonical, elementwise values are fused into their readers
// where possible, and every value that remains becomes one or more dispatches.
import { elementwiseLaunch } from '../../shaders/elementwise.ts'
import type { Epilogue } from '../../shaders/epilogue.ts'
import { type Lowering, type Slot, type Traits, bytesOf, isFloat } from '../../shaders/kernel.ts'
import { MOST_REDUCED, reduceLowering } from '../../shaders/reduce.ts'
import { UserError } from '../errors.ts'
import type { KernelOp, LoweringContext, Node, ReduceOp, Value } from '../graph.ts'
import type { Storage } from '../storage.ts'
import { showShape, sizeOf } from '../shape.ts'
import { contiguousView } from '../view.ts'
import type { Trial } from '../runtime/trials.ts'
import { KernelTuning, type OnGuess, type Question, questionKey } from '../tune.ts'
import { type Assignment, type Canonical, canonical } from './canonical.ts'
import { type FusedEpilogue, findEpilogues } from './epilogue.ts'
import { type Expression, ExpressionWriter, Unfusable, findFused } from './expression.ts'
import { SharedTemporaries, liveLaunches } from './launches.ts'
import { type Elementwise, type Located, isElementwise, keyOf } from './located.ts'
import { type NodeStep, type Update, UpdateConflict, orderSteps } from './order.ts'
import { type Placement, findPlacements } from './placement.ts'
import { type Binding, type BoundView, type Region, Regions, type Step, bindWhole, padded } from './region.ts'

/** After the last step: copies a whole value to where it is kept. */
export interface Store {
  readonly from: Region
  readonly bytes: number
  readonly storage: Storage
}

export interface Schedule {
  readonly steps: readonly Step[]
  /** The region of each output of the plan, which begins with it. */
  readonly outputs: readonly Region[]
  readonly stores: readonly Store[]
  /** Choices that were guessed, and may be measured. */
  readonly trials: readonly Trial[]
  /** Number of dispatches without fusion of elementwise ops, for comparison. */
  readonly unfused: number
}

/**
 * Orders and fuses everything that `outputs` and `assignments` need. `tuning` chooses kernels, by best guesses when
 * left out. Throws a UserError on a reduction over too many elements.
 */
export function schedule(
  outputs: readonly Value[],
  assignments: readonly Assignment[],
  traits: Traits,
  tuning = new KernelTuning(traits),
): Schedule {
  const copied = new Set<number>()
  const materialized = new Set<string>()
  for (let graph = canonical(outputs, assignments, copied); ;) {
    try {
      return new Scheduler(graph, traits, tuning, materialized).run()
    } catch (error) {
      if (error instanceof Unfusable) materialized.add(error.key)
      else if (error instanceof UpdateConflict) {
        copied.add(error.node.id)
        graph = canonical(outputs, assignments, copied)
      } else throw error
    }
  }
}

/** A node's inputs and outputs in memory, and its epilogue. */
interface Bound {
  readonly inputs: readonly BoundView[]
  readonly outputs: readonly Region[]
  /** Keys of the values that it reads. */
  readonly reads: readonly string[]
  readonly epilogue?: BoundEpilogue
}

/** An epilogue with its bindings: what it reads in addition to the kernel's result, and where its own result goes. */
interface BoundEpilogue {
  readonly epilogue: Epilogue
  readonly inputs: readonly BoundView[]
  readonly reads: readonly string[]
  readonly region: Region
}

const keysOf = (inputs: readonly Located[]): string[] => inputs.map(({ base }) => keyOf(base))

class Scheduler {
  readonly #graph: Canonical
  readonly #traits: Traits
  readonly #tuning: KernelTuning
  readonly #placements: ReadonlyMap<string, Placement>
  /** Keys of the values that are part of their readers' expressions. */
  readonly #fused: ReadonlySet<string>
  /** By the last node of their expressions. */
  readonly #epilogues: ReadonlyMap<Node, FusedEpilogue>
  readonly #regions: Regions
  readonly #steps: NodeStep[] = []
  readonly #updates: Update[] = []
  readonly #shared = new SharedTemporaries()
  readonly #trials = new Map<string, Trial>()

  constructor(graph: Canonical, traits: Traits, tuning: KernelTuning, materialized: ReadonlySet<string>) {
    this.#graph = graph
    this.#traits = traits
    this.#tuning = tuning
    this.#placements = findPlacements(graph)
    const fused = findFused(graph, traits, materialized)
    this.#epilogues = findEpilogues(graph, fused, traits)
    this.#fused = fused
    this.#regions = new Regions(this.#placements)
  }

  run(): Schedule {
    const { nodes, outputs } = this.#graph
    const epilogues = [...this.#epilogues.values()]
    const instead = epilogues.flatMap(({ storedInstead }) => storedInstead ?? [])
    const fused = nodes.filter(node => this.#fused.has(keyOf({ node, index: 0 })))
    // These are computed by the steps of other nodes.
    const elsewhere = new Set<Node>([...epilogues.map(({ kernel }) => kernel), ...instead, ...fused])
    for (const node of nodes) if (!elsewhere.has(node)) this.#lower(node)
    return {
      steps: orderSteps(this.#steps, this.#updates),
      outputs: outputs.map(value => this.#regions.of(value)),
      stores: this.#stores(),
      trials: [...this.#trials.values()],
      // Numbers have no inputs and would not be dispatches.
      unfused:
        this.#steps.length + fused.filter(node => node.inputs.length > 0).length + epilogues.length + instead.length,
    }
  }

  #stores(): Store[] {
    return this.#graph.assignments.flatMap(({ storage, target, value }) => {
      const from = this.#regions.of(value)
      if (from === this.#regions.of(target)) return []
      const { shape, dtype } = value.node.outputs[value.index]
      return [{ from, bytes: padded(sizeOf(shape) * bytesOf(dtype)), storage }]
    })
  }

  #lower(node: Node): void {
    const { op } = node
    if (op.kind === 'reduce') return this.#lowerReduction(node, op)
    if (op.kind === 'kernel') return this.#lowerKernel(node, op)
    if (!isElementwise(node)) return
    const epilogue = this.#epilogues.get(node)
    if (epilogue) this.#lowerKernel(epilogue.kernel, epilogue.kernel.op, this.#bindEpilogue(node, epilogue))
    else this.#lowerElementwise(node)
  }

  #expression(shape: readonly number[], epilogueOf?: Value): ExpressionWriter {
    return new ExpressionWriter(this.#graph, this.#fused, shape, epilogueOf)
  }

  #bind(inputs: readonly Located[]): BoundView[] {
    return inputs.map(input => this.#regions.bind(input))
  }

  #lowerElementwise(node: Elementwise): void {
    const [spec] = node.outputs
    const { label, body, inputs } = this.#expression(spec.shape).ofNode(node)
    const bound = this.#bind(inputs)
    const region = this.#regions.make({ node, index: 0 })
    const views = bound.map(b => b.view)
    const operands = { label: label || 'fill', inputs: views, output: contiguousView(spec), body }
    const launch = elementwiseLaunch(operands, this.#traits)
    const bindings = [...bound.map(b => b.binding), bindWhole(region)]
    this.#steps.push({ step: { launch, bindings }, node, reads: new Set(keysOf(inputs)) })
  }

  #lowerReduction(node: Node, op: ReduceOp): void {
    const [reduced] = this.#graph.inputsOf(node)
    const { shape } = reduced.view
    const limit = `a reduction takes at most ${MOST_REDUCED} elements: reduce in parts`
    if (sizeOf(shape) > MOST_REDUCED) throw new UserError(`${op.name} over ${showShape(shape)}: ${limit}`)
    const { label, body, inputs } = this.#expression(shape).ofValue(reduced)
    const bound = this.#bind(inputs)
    const outputs = [this.#regions.make({ node, index: 0 })]
    const reduction = {
      label: `${op.name} ${label}`.trimEnd(),
      fold: op.fold,
      dtype: reduced.view.dtype,
      shape,
      axes: op.axes(node.attributes),
      inputs: bound.map(b => b.view),
      output: contiguousView(node.outputs[0]),
      body,
    }
    this.#push(node, { inputs: bound, outputs, reads: keysOf(inputs) }, reduceLowering(reduction, this.#traits))
  }

  /** The expression that ends in `root` as the epilogue of a kernel. */
  #bindEpilogue(root: Elementwise, { kernel, storesResult, storedInstead }: FusedEpilogue): BoundEpilogue {
    const [{ shape, dtype }] = root.outputs
    if (!isFloat(dtype)) throw new Error(`an epilogue can't give ${dtype}`)
    const own = { node: kernel, index: 0 }
    const expression = (node: Elementwise): Expression => this.#expression(shape, own).ofNode(node)
    const { label, body, inputs } = expression(root)
    const bound = this.#bind(inputs)
    const instead = storedInstead && expression(storedInstead)
    if (storedInstead) this.#regions.share(own, this.#regions.make({ node: storedInstead, index: 0 }))
    const epilogue: Epilogue = {
      label: `${label || 'fill'}${instead ? ` & ${instead.label}` : ''}`,
      shape,
      inputs: bound.map(b => b.view),
      body,
      dtype,
      storesResult,
      storedInstead: instead?.body,
    }
    return { epilogue, inputs: bound, reads: keysOf(inputs), region: this.#regions.make({ node: root, index: 0 }) }
  }

  #lowerKernel(node: Node, op: KernelOp, epilogue?: BoundEpilogue): void {
    const located = this.#graph.inputsOf(node)
    const inputs = this.#bind(located)
    const outputs = this.#outputsOf(node, op, located)
    const bound = { inputs, outputs, reads: [...keysOf(located), ...(epilogue?.reads ?? [])], epilogue }
    const ask: OnGuess = (question, candidates) => this.#ask(question, candidates, op, context, bound)
    const context: LoweringContext = {
      inputs: inputs.map(b => b.view),
      outputs: node.outputs,
      attributes: node.attributes,
      traits: this.#traits,
      epilogue: epilogue?.epilogue,
      choose: this.#tuning.chooser(this.#tuning.secondsLeft > 0 ? ask : undefined),
    }
    const { launches, temporaries } = op.lower(context)
    const isInPlace = (i: number): boolean => this.#placements.get(keyOf(located[i].base))?.within.node === node
    const needed = op.starts ? launches.filter((_, i) => !isInPlace(i)) : launches
    this.#push(node, bound, { launches: liveLaunches(node, needed, this.#graph), temporaries })
  }

  /** The regions of a kernel's outputs; those of its inputs where it updates them in place. */
  #outputsOf(node: Node, { aliases }: KernelOp, inputs: readonly Located[]): Region[] {
    return node.outputs.map((_, index) => {
      const alias = aliases?.[index]
      const value = { node, index }
      if (alias === undefined) return this.#regions.make(value)
      const { base } = inputs[alias]
      const region = this.#regions.of(base)
      this.#regions.share(value, region)
      this.#updates.push({ node, region, before: keyOf(base), after: keyOf(value) })
      return region
    })
  }

  /** Notes what it takes to answer a question by measuring. */
  #ask(question: Question, candidates: readonly unknown[], op: KernelOp, context: LoweringContext, bound: Bound): void {
    const key = questionKey(question)
    if (this.#trials.has(key)) return
    this.#trials.set(key, {
      question,
      candidates,
      lower: n => op.lower({ ...context, choose: this.#tuning.answering(question, n) }),
      bytesOf: slot => bindingOf(slot, bound).bytes,
      isInteger: ({ role, index }) => role === 'input' && !isFloat(bound.inputs[index].view.dtype),
    })
  }

  #push(node: Node, bound: Bound, { launches, temporaries = [] }: Lowering): void {
    const scratch = temporaries.map(({ shape, dtype }): Region => ({
      bytes: padded(sizeOf(shape) * bytesOf(dtype)),
      dtype,
      label: `${node.op.name} temporary`,
    }))
    for (const launch of launches) {
      const bindings = launch.slots.map(slot =>
        slot.role === 'temporary' ? bindWhole(scratch[slot.index]) : bindingOf(slot, bound),
      )
      const known = this.#shared.find(launch, launches, bindings)
      if (known) scratch[launch.slots[launch.writes[0]].index] = known
      else this.#steps.push({ step: { launch, bindings }, node, reads: new Set(bound.reads) })
    }
  }
}

/** The binding of a slot that is not a temporary. */
function bindingOf({ role, index }: Slot, { inputs, outputs, epilogue }: Bound): Binding {
  if (role === 'input') return inputs[index].binding
  if (role === 'output') return bindWhole(outputs[index])
  if (!epilogue) throw new Error(`a launch has a slot for an ${role}, but its kernel has none`)
  return role === 'epilogueInput' ? epilogue.inputs[index].binding : bindWhole(epilogue.region)
}
