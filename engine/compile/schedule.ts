// From a graph to a list of dispatches: the graph is made canonical, elementwise values are fused into their readers where
// possible, and every value that remains becomes one or more dispatches.
import { type Epilogue, elementwiseLaunch } from '../../shaders/elementwise.ts'
import { type Launch, type Lowering, type Slot, type Traits, type View, bytesOf } from '../../shaders/kernel.ts'
import { MOST_REDUCED, reduceLowering } from '../../shaders/reduce.ts'
import { UserError } from '../errors.ts'
import type { LoweringContext, Node, Value } from '../graph.ts'
import { payloadOf } from '../ops/source.ts'
import type { Storage } from '../storage.ts'
import { contiguousView, sizeOf } from '../shape.ts'
import type { Trial } from '../runtime/trials.ts'
import { answering, chooser, measuring } from '../tune.ts'
import { type Assignment, type Canonical, type Elementwise, type Located, canonical, isElementwise, isWhole, keyOf } from './canonical.ts'
import { type Expression, ExpressionWriter, Unfusable, findFused } from './expression.ts'
import { type FusedEpilogue, findEpilogues } from './epilogue.ts'
import { Entangled, type Made, type Update, inOrder } from './order.ts'
import { ALIGNMENT, type Binding, type Region, type Step, bindView, padded, whole } from './region.ts'

/** After the last step: a whole value to where it is kept. */
export interface Store {
  readonly from: Region
  readonly bytes: number
  readonly storage: Storage
}

export interface Schedule {
  readonly steps: readonly Step[]
  /** Where each output of the plan stands, contiguous from the start of its region. */
  readonly outputs: readonly Region[]
  readonly stores: readonly Store[]
  /** Choices that were guessed, to be measured where somebody wants that. */
  readonly trials: readonly Trial[]
  /** Number of dispatches without fusion of elementwise ops, for comparison. */
  readonly unfused: number
}

/** Orders and fuses everything that `outputs` and `assignments` need. Throws a UserError on a reduction over too many elements. */
export function schedule(outputs: readonly Value[], assignments: readonly Assignment[], traits: Traits): Schedule {
  const copied = new Set<number>()
  const materialized = new Set<string>()
  for (let graph = canonical(outputs, assignments, copied); ;) {
    try {
      return new Scheduler(graph, traits, materialized).run()
    } catch (error) {
      if (error instanceof Unfusable) materialized.add(error.key)
      else if (error instanceof Entangled) {
        copied.add(error.node.id)
        graph = canonical(outputs, assignments, copied)
      } else throw error
    }
  }
}

/** An epilogue with its bindings: what it reads in addition to the kernel's result, and where its own result goes. */
interface BoundEpilogue {
  readonly epilogue: Epilogue
  readonly inputs: readonly Binding[]
  readonly reads: readonly string[]
  readonly region: Region
}

const keysOf = (inputs: readonly Located[]): string[] => inputs.map(({ base }) => keyOf(base))

class Scheduler {
  readonly #graph: Canonical
  readonly #traits: Traits
  readonly #fused: Set<string>
  readonly #regions = new Map<string, Region>()
  readonly #steps: Made[] = []
  readonly #updates: Update[] = []
  /** Values that are computed directly into a concat's output, with their offset there in bytes. */
  readonly #placed = new Map<string, { concat: Value, offset: number }>()
  /** Epilogues by the last node of their expressions, and the kernels that evaluate them. */
  #epilogues: ReadonlyMap<Node, FusedEpilogue> = new Map()
  #withEpilogue: ReadonlySet<Node> = new Set()
  /** Values that are stored instead of a kernel's own result, and so need no dispatch. */
  #storedInstead: ReadonlySet<Node> = new Set()
  /** Temporaries that a launch has filled, by the launch and what it reads. */
  readonly #filled = new Map<string, Region>()
  readonly #trials = new Map<string, Trial>()

  constructor(graph: Canonical, traits: Traits, materialized: ReadonlySet<string>) {
    this.#graph = graph
    this.#traits = traits
    this.#fused = findFused(graph, traits, materialized)
  }

  run(): Schedule {
    const { nodes, outputs, assignments } = this.#graph
    this.#place()
    this.#epilogues = findEpilogues(this.#graph, this.#fused, this.#traits)
    this.#withEpilogue = new Set([...this.#epilogues.values()].map(({ kernel }) => kernel))
    this.#storedInstead = new Set([...this.#epilogues.values()].flatMap(({ storedInstead }) => storedInstead ?? []))
    for (const node of nodes) {
      if (isElementwise(node)) {
        const epilogue = this.#epilogues.get(node)
        if (epilogue) this.#kernelWithEpilogue(node, epilogue)
        else if (!this.#storedInstead.has(node) && !this.#fused.has(keyOf({ node, index: 0 }))) this.#elementwise(node)
      } else if (node.op.kind === 'reduce') this.#reduce(node)
      else if (node.op.kind === 'kernel' && !this.#withEpilogue.has(node)) this.#kernel(node)
    }
    // Numbers have no inputs and would not be dispatches.
    const fused = nodes.filter(node => node.inputs.length > 0 && this.#fused.has(keyOf({ node, index: 0 })))
    const stores: Store[] = []
    for (const { storage, target, value } of assignments) {
      const from = this.#region(value)
      if (from === this.#region(target)) continue
      const { shape, dtype } = value.node.outputs[value.index]
      stores.push({ from, bytes: padded(sizeOf(shape) * bytesOf(dtype)), storage })
    }
    return {
      steps: inOrder(this.#steps, this.#updates), outputs: outputs.map(value => this.#region(value)), stores,
      trials: [...this.#trials.values()], unfused: this.#steps.length + fused.length + this.#epilogues.size + this.#storedInstead.size,
    }
  }

  /** Inputs of a concat with no other reader are computed directly in its output, if their offset there is aligned for a binding. */
  #place(): void {
    const { nodes, uses, kept } = this.#graph
    for (const node of nodes) {
      if (node.op.kind !== 'kernel' || !node.op.starts) continue
      const [output] = node.outputs
      const inputs = this.#graph.inputsOf(node)
      const starts = node.op.starts(inputs.map(({ view }) => view), output, node.attributes)
      const keys = keysOf(inputs)
      starts?.forEach((start, i) => {
        const { base, view } = inputs[i]
        const { op } = base.node
        const once = uses.get(keys[i])?.length === 1 && keys.filter(key => key === keys[i]).length === 1
        const free = once && op.kind !== 'source' && !(op.kind === 'kernel' && op.aliases) && !kept.has(keys[i])
        const offset = start * bytesOf(output.dtype)
        if (free && isWhole({ base, view }) && offset % ALIGNMENT === 0) this.#placed.set(keys[i], { concat: { node, index: 0 }, offset })
      })
    }
  }

  #region(value: Value): Region {
    const key = keyOf(value)
    const found = this.#regions.get(key)
    if (found) return found
    if (value.node.op.kind !== 'source') throw new Error(`${value.node.op.name} (${key}) is read before it is made`)
    return this.#newRegion(value, value.node)
  }

  #newRegion(value: Value, source?: Node): Region {
    const known = this.#regions.get(keyOf(value))
    if (known) return known
    const { shape, dtype } = value.node.outputs[value.index]
    const place = this.#placed.get(keyOf(value))
    const within = place && { region: this.#newRegion(place.concat), offset: place.offset }
    const region: Region = { bytes: padded(sizeOf(shape) * bytesOf(dtype)), label: value.node.op.name, source, within }
    this.#regions.set(keyOf(value), region)
    return region
  }

  #push(node: Node, launch: Launch, bindings: readonly Binding[], reads: readonly string[]): void {
    this.#steps.push({ step: { launch, bindings }, node, reads: new Set(reads) })
  }

  #elementwise(node: Elementwise): void {
    const [{ shape, dtype }] = node.outputs
    const { label, body, inputs } = new ExpressionWriter(this.#graph, this.#fused, shape).ofNode(node)
    const bound = inputs.map(({ base, view }) => this.#bind(base, view))
    const region = this.#newRegion({ node, index: 0 })
    const output = contiguousView({ shape, dtype })
    const launch = elementwiseLaunch({ label: label || 'fill', inputs: bound.map(b => b.view), output, body }, this.#traits)
    this.#push(node, launch, [...bound.map(b => b.binding), whole(region)], keysOf(inputs))
  }

  #reduce(node: Node): void {
    if (node.op.kind !== 'reduce') throw new Error('not a reduction')
    const [reduced] = this.#graph.inputsOf(node)
    const { shape } = reduced.view
    if (sizeOf(shape) > MOST_REDUCED) {
      throw new UserError(`${node.op.name} over [${shape.join(', ')}]: a reduction goes over ${MOST_REDUCED} elements at most: reduce in parts`)
    }
    const { label, body, inputs } = new ExpressionWriter(this.#graph, this.#fused, shape).ofValue(reduced)
    const bound = inputs.map(({ base, view }) => this.#bind(base, view))
    const region = this.#newRegion({ node, index: 0 })
    const { launches, temporaries } = reduceLowering({
      label: `${node.op.name} ${label}`.trimEnd(), fold: node.op.fold, shape, axes: node.op.axes(node.attributes),
      inputs: bound.map(b => b.view), output: contiguousView(node.outputs[0]), body,
    }, this.#traits)
    this.#pushLaunches(node, { launches, temporaries }, bound.map(b => b.binding), [region], keysOf(inputs))
  }

  /** A kernel's launches, the last of which evaluates an expression of the result. */
  #kernelWithEpilogue(root: Elementwise, { kernel, storesResult, storedInstead }: FusedEpilogue): void {
    const [{ shape, dtype }] = root.outputs
    if (dtype !== 'f32' && dtype !== 'f16') throw new Error(`a kernel can't end in ${dtype}`)
    const own = { node: kernel, index: 0 }
    const expression = (node: Elementwise): Expression => new ExpressionWriter(this.#graph, this.#fused, shape, own).ofNode(node)
    const { label, body, inputs } = expression(root)
    const bound = inputs.map(({ base, view }) => this.#bind(base, view))
    const beside = storedInstead && expression(storedInstead)
    if (storedInstead) this.#regions.set(keyOf(own), this.#newRegion({ node: storedInstead, index: 0 }))
    const epilogue: Epilogue = {
      label: [label || 'fill', ...(beside ? [beside.label] : [])].join(' & '), shape, inputs: bound.map(b => b.view), body, dtype, storesResult,
      storedInstead: beside?.body,
    }
    const region = this.#newRegion({ node: root, index: 0 })
    this.#kernel(kernel, { epilogue, inputs: bound.map(b => b.binding), reads: keysOf(inputs), region })
  }

  #kernel(node: Node, epilogue?: BoundEpilogue): void {
    if (node.op.kind !== 'kernel') throw new Error('not a kernel')
    const { op } = node
    const located = this.#graph.inputsOf(node)
    const bound = located.map(({ base, view }) => this.#bind(base, view))
    const regions = node.outputs.map((_, index) => {
      const alias = op.aliases?.[index]
      if (alias === undefined || alias === null) return this.#newRegion({ node, index })
      const [before, after] = [keyOf(located[alias].base), keyOf({ node, index })]
      const region = this.#region(located[alias].base)
      this.#regions.set(after, region)
      this.#updates.push({ node, region, before, after })
      return region
    })
    const context: LoweringContext = {
      inputs: bound.map(b => b.view), outputs: node.outputs, attributes: node.attributes, traits: this.#traits, epilogue: epilogue?.epilogue,
      choose: chooser(this.#traits, measuring(this.#traits) && (question => {
        if (this.#trials.has(question.key)) return
        this.#trials.set(question.key, {
          question,
          lower: n => op.lower({ ...context, choose: answering(this.#traits, question, n) }),
          bytesOf: ({ role, index }) => {
            if (role === 'input') return bound[index].binding.bytes
            if (role === 'output') return padded(sizeOf(node.outputs[index].shape) * bytesOf(node.outputs[index].dtype))
            return bindingOfEpilogue(epilogue, role, index).bytes
          },
          isInteger: ({ role, index }) => role === 'input' && ['i32', 'u32'].includes(bound[index].view.dtype),
        })
      })),
    }
    const { launches: all, temporaries } = op.lower(context)
    const launches = op.starts ? all.filter((_, i) => this.#placed.get(keyOf(located[i].base))?.concat.node !== node) : all
    const reads = [...keysOf(located), ...epilogue?.reads ?? []]
    this.#pushLaunches(node, { launches: this.#needed(node, launches), temporaries }, bound.map(b => b.binding), regions, reads, epilogue)
  }

  #pushLaunches(
    node: Node, { launches, temporaries = [] }: Lowering, inputs: readonly Binding[], outputs: readonly Region[],
    reads: readonly string[], epilogue?: BoundEpilogue,
  ): void {
    const scratch = temporaries.map(({ shape, dtype }): Region => ({ bytes: padded(sizeOf(shape) * bytesOf(dtype)), label: `${node.op.name} temporary` }))
    const bindingOf = ({ role, index }: Slot): Binding => {
      if (role === 'input') return inputs[index]
      if (role === 'output') return whole(outputs[index])
      if (role === 'temporary') return whole(scratch[index])
      return bindingOfEpilogue(epilogue, role, index)
    }
    for (const launch of launches) {
      const written = launch.writes.map(slot => launch.slots[slot])
      const bindings = launch.slots.map(bindingOf)
      // Equal preparations of the same inputs (packing an attention mask) are shared by all nodes.
      if (written.length === 1 && written[0].role === 'temporary' && isFilledOnce(written[0], launches) && this.#isConstant(launch, bindings)) {
        const from = bindings.filter((_, slot) => !launch.writes.includes(slot)).map(({ region, offset }) => `${this.#numberOf(region)}+${offset}`)
        const key = [launch.wgsl, launch.uniforms, ...from].join('|')
        const known = this.#filled.get(key)
        const { index } = written[0]
        if (known) {
          scratch[index] = known
          continue
        }
        this.#filled.set(key, scratch[index])
      }
      this.#push(node, launch, bindings, reads)
    }
  }

  /** Drops launches whose outputs are all dead, such as the gradient of a first layer's keys without LoRA on them. */
  #needed(node: Node, launches: readonly Launch[]): readonly Launch[] {
    const { uses, kept } = this.#graph
    const isRead = (output: Slot): boolean => {
      const key = keyOf({ node, index: output.index })
      return uses.has(key) || kept.has(key) || launches.some(({ slots, writes }) =>
        slots.some(({ role, index }, slot) => role === 'output' && index === output.index && !writes.includes(slot)))
    }
    return launches.filter(({ slots, writes }) => writes.some(slot => slots[slot].role !== 'output' || isRead(slots[slot])))
  }

  /** Whether a launch reads only inputs and constants of the plan, which no update changes. */
  #isConstant({ writes }: Launch, bindings: readonly Binding[]): boolean {
    return bindings.every(({ region: { source } }, slot) => writes.includes(slot) || (source && payloadOf(source).kind !== 'storage'))
  }

  readonly #numbers = new Map<Region, number>()
  #numberOf(region: Region): number {
    const number = this.#numbers.get(region) ?? this.#numbers.size
    this.#numbers.set(region, number)
    return number
  }

  #bind(base: Value, view: View): { binding: Binding; view: View } {
    return bindView(this.#region(base), view)
  }
}

/** The binding of an epilogue's slot. */
function bindingOfEpilogue(epilogue: BoundEpilogue | undefined, role: Slot['role'], index: number): Binding {
  if (!epilogue) throw new Error('a launch has epilogue slots, but the kernel has no epilogue')
  return role === 'epilogueInput' ? epilogue.inputs[index] : whole(epilogue.region)
}

/** Whether only one launch writes a temporary. One that later launches change can't be shared. */
function isFilledOnce({ index }: Slot, launches: readonly Launch[]): boolean {
  return launches.filter(({ slots, writes }) => writes.some(slot => slots[slot].role === 'temporary' && slots[slot].index === index)).length === 1
}
