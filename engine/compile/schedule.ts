// From a graph to a list of dispatches. First the graph is made canonical (equal nodes become one, copies appear where a
// consumer can't read a view), then it is decided which values get memory of their own (the rest melt into the expression
// of their one consumer), then every value with memory becomes one step.
import { type Finish, elementwiseLaunch } from '../../shaders/elementwise.ts'
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
import { type Expression, ExpressionWriter, Unfusable, findMelted } from './expression.ts'
import { type Finishing, findFinishes } from './finish.ts'
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
  /** Dispatches if no elementwise op melted into another step: the measure of what that saved. */
  readonly unfused: number
}

/** Orders and fuses everything that `outputs` and `assignments` need. */
export function schedule(outputs: readonly Value[], assignments: readonly Assignment[], traits: Traits): Schedule {
  const apart = new Set<number>()
  const forced = new Set<string>()
  for (let graph = canonical(outputs, assignments, apart); ;) {
    try {
      return new Scheduler(graph, traits, forced).run()
    } catch (error) {
      if (error instanceof Unfusable) forced.add(error.key)
      else if (error instanceof Entangled) {
        apart.add(error.node.id)
        graph = canonical(outputs, assignments, apart)
      } else throw error
    }
  }
}

/** An expression that a kernel ends with: what it reads besides, and where its result stands. */
interface BoundFinish {
  readonly finish: Finish
  readonly inputs: readonly Binding[]
  readonly reads: readonly string[]
  readonly region: Region
}

const keysOf = (inputs: readonly Located[]): string[] => inputs.map(({ base }) => keyOf(base))

class Scheduler {
  readonly #graph: Canonical
  readonly #traits: Traits
  readonly #melted: Set<string>
  readonly #regions = new Map<string, Region>()
  readonly #steps: Made[] = []
  readonly #updates: Update[] = []
  /** Values that are made in their place in a concat, in bytes from its start. */
  readonly #placed = new Map<string, { concat: Value, offset: number }>()
  /** Expressions that a kernel's own dispatch ends with, by their last node; and those kernels. */
  #finishing: ReadonlyMap<Node, Finishing> = new Map()
  #finished: ReadonlySet<Node> = new Set()
  /** Values that a finish keeps in the place of its kernel's own: no dispatch of theirs makes them. */
  #madeInstead: ReadonlySet<Node> = new Set()
  /** Temporaries that the same launch has filled before, by what it is and what it reads. */
  readonly #filled = new Map<string, Region>()
  readonly #trials = new Map<string, Trial>()

  constructor(graph: Canonical, traits: Traits, forced: ReadonlySet<string>) {
    this.#graph = graph
    this.#traits = traits
    this.#melted = findMelted(graph, traits, forced)
  }

  run(): Schedule {
    const { nodes, outputs, assignments } = this.#graph
    this.#place()
    this.#finishing = findFinishes(this.#graph, this.#melted, this.#traits)
    this.#finished = new Set([...this.#finishing.values()].map(({ kernel }) => kernel))
    this.#madeInstead = new Set([...this.#finishing.values()].flatMap(({ instead }) => instead ?? []))
    for (const node of nodes) {
      if (isElementwise(node)) {
        const finishing = this.#finishing.get(node)
        if (finishing) this.#finishedKernel(node, finishing)
        else if (!this.#madeInstead.has(node) && !this.#melted.has(keyOf({ node, index: 0 }))) this.#elementwise(node)
      } else if (node.op.kind === 'reduce') this.#reduce(node)
      else if (node.op.kind === 'kernel' && !this.#finished.has(node)) this.#kernel(node)
    }
    // Not those without inputs: a number is nobody's dispatch.
    const melted = nodes.filter(node => node.inputs.length > 0 && this.#melted.has(keyOf({ node, index: 0 })))
    const stores: Store[] = []
    for (const { storage, target, value } of assignments) {
      const from = this.#region(value)
      if (from === this.#region(target)) continue
      const { shape, dtype } = value.node.outputs[value.index]
      stores.push({ from, bytes: padded(sizeOf(shape) * bytesOf(dtype)), storage })
    }
    return {
      steps: inOrder(this.#steps, this.#updates), outputs: outputs.map(value => this.#region(value)), stores,
      trials: [...this.#trials.values()], unfused: this.#steps.length + melted.length + this.#finishing.size + this.#madeInstead.size,
    }
  }

  /** Parts of a concat that nobody else reads are made right there, where their place begins as a binding may. */
  #place(): void {
    const { nodes, uses, kept } = this.#graph
    for (const node of nodes) {
      if (node.op.name !== 'concat') continue
      const [{ shape, dtype }] = node.outputs
      const axis = Number(node.attributes.axis)
      if (sizeOf(shape.slice(0, axis)) !== 1) continue
      let offset = 0
      const parts = keysOf(this.#graph.inputsOf(node))
      for (const { base, view } of this.#graph.inputsOf(node)) {
        const key = keyOf(base)
        const { op } = base.node
        const once = uses.get(key)?.length === 1 && parts.filter(part => part === key).length === 1
        const free = once && op.kind !== 'source' && !(op.kind === 'kernel' && op.aliases) && !kept.has(key)
        if (free && isWhole({ base, view }) && offset % ALIGNMENT === 0) this.#placed.set(key, { concat: { node, index: 0 }, offset })
        offset += sizeOf(view.shape) * bytesOf(dtype)
      }
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
    const { label, body, inputs } = new ExpressionWriter(this.#graph, this.#melted, shape).ofNode(node)
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
    const { label, body, inputs } = new ExpressionWriter(this.#graph, this.#melted, shape).ofValue(reduced)
    const bound = inputs.map(({ base, view }) => this.#bind(base, view))
    const region = this.#newRegion({ node, index: 0 })
    const { launches, temporaries } = reduceLowering({
      label: `${node.op.name} ${label}`.trimEnd(), fold: node.op.fold, shape, axes: node.attributes.axes as readonly number[],
      inputs: bound.map(b => b.view), output: contiguousView(node.outputs[0]), body,
    }, this.#traits)
    this.#pushLaunches(node, { launches, temporaries }, bound.map(b => b.binding), [region], keysOf(inputs))
  }

  /** A kernel's launches, the last of which ends with an expression. */
  #finishedKernel(root: Elementwise, { kernel, keeps, instead }: Finishing): void {
    const [{ shape, dtype }] = root.outputs
    if (dtype !== 'f32' && dtype !== 'f16') throw new Error(`a kernel can't end in ${dtype}`)
    const own = { node: kernel, index: 0 }
    const expression = (node: Elementwise): Expression => new ExpressionWriter(this.#graph, this.#melted, shape, own).ofNode(node)
    const { label, body, inputs } = expression(root)
    const bound = inputs.map(({ base, view }) => this.#bind(base, view))
    const beside = instead && expression(instead)
    if (instead) this.#regions.set(keyOf(own), this.#newRegion({ node: instead, index: 0 }))
    const finish: Finish = {
      label: [label || 'fill', ...(beside ? [beside.label] : [])].join(' & '), shape, inputs: bound.map(b => b.view), body, dtype, keeps,
      instead: beside?.body,
    }
    const region = this.#newRegion({ node: root, index: 0 })
    this.#kernel(kernel, { finish, inputs: bound.map(b => b.binding), reads: keysOf(inputs), region })
  }

  #kernel(node: Node, finishing?: BoundFinish): void {
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
      inputs: bound.map(b => b.view), outputs: node.outputs, attributes: node.attributes, traits: this.#traits, finish: finishing?.finish,
      choose: chooser(this.#traits, measuring(this.#traits) && (question => {
        if (this.#trials.has(question.key)) return
        this.#trials.set(question.key, {
          question,
          lower: n => op.lower({ ...context, choose: answering(this.#traits, question, n) }),
          bytesOf: ({ role, index }) => {
            if (role === 'input') return bound[index].binding.bytes
            if (role === 'output') return padded(sizeOf(node.outputs[index].shape) * bytesOf(node.outputs[index].dtype))
            return bindingOfFinish(finishing, role, index).bytes
          },
          isInteger: ({ role, index }) => role === 'input' && ['i32', 'u32'].includes(bound[index].view.dtype),
        })
      })),
    }
    const { launches: all, temporaries } = op.lower(context)
    // Concat has one launch an input; those that stand in their place already need none.
    const launches = op.name === 'concat' ? all.filter((_, i) => this.#placed.get(keyOf(located[i].base))?.concat.node !== node) : all
    const reads = [...keysOf(located), ...finishing?.reads ?? []]
    this.#pushLaunches(node, { launches: this.#needed(node, launches), temporaries }, bound.map(b => b.binding), regions, reads, finishing)
  }

  #pushLaunches(
    node: Node, { launches, temporaries = [] }: Lowering, inputs: readonly Binding[], outputs: readonly Region[],
    reads: readonly string[], finishing?: BoundFinish,
  ): void {
    const scratch = temporaries.map(({ shape, dtype }): Region => ({ bytes: padded(sizeOf(shape) * bytesOf(dtype)), label: `${node.op.name} temporary` }))
    const bindingOf = ({ role, index }: Slot): Binding => {
      if (role === 'input') return inputs[index]
      if (role === 'output') return whole(outputs[index])
      if (role === 'temporary') return whole(scratch[index])
      return bindingOfFinish(finishing, role, index)
    }
    for (const launch of launches) {
      const written = launch.writes.map(slot => launch.slots[slot])
      const bindings = launch.slots.map(bindingOf)
      // What several nodes would prepare alike from the same inputs (an attention mask) is prepared once.
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

  /** All but what makes nothing but outputs that nobody reads: the gradient of a first layer's keys, where LoRA is not upon them. */
  #needed(node: Node, launches: readonly Launch[]): readonly Launch[] {
    const { uses, kept } = this.#graph
    const isRead = (output: Slot): boolean => {
      const key = keyOf({ node, index: output.index })
      return uses.has(key) || kept.has(key) || launches.some(({ slots, writes }) =>
        slots.some(({ role, index }, slot) => role === 'output' && index === output.index && !writes.includes(slot)))
    }
    return launches.filter(({ slots, writes }) => writes.some(slot => slots[slot].role !== 'output' || isRead(slots[slot])))
  }

  /** True where everything that a launch reads is an input of the plan: no update comes between. */
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

/** What a finish binds. */
function bindingOfFinish(finishing: BoundFinish | undefined, role: Slot['role'], index: number): Binding {
  if (!finishing) throw new Error('a kernel binds what finishes it, and nothing does')
  return role === 'finish' ? finishing.inputs[index] : whole(finishing.region)
}

/** Whether only one launch writes a temporary: what later ones go on to change can't be shared. */
function isFilledOnce({ index }: Slot, launches: readonly Launch[]): boolean {
  return launches.filter(({ slots, writes }) => writes.some(slot => slots[slot].role === 'temporary' && slots[slot].index === index)).length === 1
}
