// From a graph to a list of dispatches. First the graph is made canonical (equal nodes become one, copies appear where a
// consumer can't read a view), then it is decided which values get memory of their own (the rest melt into the expression
// of their one consumer), then every value with memory becomes one step.
import { type Body, type Finish, type UniformScalar, elementwiseLaunch, scalarType } from '../../shaders/elementwise.ts'
import { type Launch, type Slot, type Spec, type Traits, type View, bytesOf } from '../../shaders/kernel.ts'
import { reduceLowering } from '../../shaders/reduce.ts'
import { UserError } from '../errors.ts'
import type { LoweringContext, Node, Value } from '../graph.ts'
import { payloadOf } from '../ops/source.ts'
import type { Storage } from '../storage.ts'
import { broadcastView, contiguousView, isContiguous, reshapeView, sizeOf } from '../shape.ts'
import type { Trial } from '../runtime/trials.ts'
import { answering, chooser, currentTuning } from '../tune.ts'
import { ALIGNMENT, type Canonical, type Elementwise, canonical, isElementwise, isTransparent, keyOf, viewKey } from './canonical.ts'
import { type Finishing, findFinishes } from './finish.ts'

/** A stretch of memory that steps read and write: planned by liveness, or given from outside. */
export interface Region {
  readonly bytes: number
  readonly label: string
  /** What stands behind it: a source's node, or nothing for planned memory. */
  readonly source?: Node
  /** The stretch of a larger region that it is: a value that was made right where a concat wants it. */
  readonly within?: { readonly region: Region, readonly offset: number }
}

export interface Binding {
  readonly region: Region
  readonly offset: number
  readonly bytes: number
}

/** One dispatch with what it binds, in the order of its launch's slots. */
export interface Step {
  readonly launch: Launch
  readonly bindings: readonly Binding[]
}

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

/** A variable's next value. */
export interface Assignment {
  readonly storage: Storage
  readonly target: Value
  readonly value: Value
}

/** Longest expression that one dispatch carries, in ops. */
const MAX_FUSED_OPS = 48

/** Orders and fuses everything that `outputs` and `assignments` need. */
export function schedule(outputs: readonly Value[], assignments: readonly Assignment[], traits: Traits): Schedule {
  const graph = canonical(outputs, assignments)
  for (const forced = new Set<string>(); ;) {
    try {
      return new Scheduler(graph, traits, forced).run()
    } catch (error) {
      if (!(error instanceof Unfusable)) throw error
      forced.add(error.key)
    }
  }
}

/** An expression whose inputs can't be read in its consumer's shape: it gets memory of its own after all. */
class Unfusable extends Error {
  readonly key: string
  constructor(key: string) {
    super(key)
    this.key = key
  }
}

/** An expression that a kernel ends with: what it reads besides, and where its result stands. */
interface BoundFinish {
  readonly finish: Finish
  readonly inputs: readonly Binding[]
  readonly region: Region
}

interface Group {
  readonly shape: readonly number[]
  /** The value that the expression finishes, as `keyOf` has it. */
  readonly finishes?: string
  readonly inputs: { key: string; base: Value; view: View }[]
  readonly lines: string[]
  readonly names: Map<string, string>
  readonly helpers: Set<string>
  readonly scalars: UniformScalar[]
  readonly ops: string[]
}

class Scheduler {
  readonly #graph: Canonical
  readonly #traits: Traits
  readonly #forced: ReadonlySet<string>
  readonly #melted = new Set<string>()
  readonly #regions = new Map<string, Region>()
  readonly #steps: { step: Step; node: Node }[] = []
  readonly #inPlace = new Map<Node, Region[]>()
  /** Values that are made in their place in a concat, in bytes from its start. */
  readonly #placed = new Map<string, { concat: Value, offset: number }>()
  /** Expressions that a kernel's own dispatch ends with, by their last node; and those kernels. */
  #finishing: ReadonlyMap<Node, Finishing> = new Map()
  #finished: ReadonlySet<Node> = new Set()
  /** Temporaries that the same launch has filled before, by what it is and what it reads. */
  readonly #filled = new Map<string, Region>()
  readonly #trials = new Map<string, Trial>()

  constructor(graph: Canonical, traits: Traits, forced: ReadonlySet<string>) {
    this.#graph = graph
    this.#traits = traits
    this.#forced = forced
  }

  run(): Schedule {
    const { nodes, outputs, assignments } = this.#graph
    this.#decide()
    this.#place()
    this.#finishing = findFinishes(this.#graph, this.#melted, this.#traits)
    this.#finished = new Set([...this.#finishing.values()].map(({ kernel }) => kernel))
    for (const node of nodes) {
      if (isElementwise(node)) {
        const finishing = this.#finishing.get(node)
        if (finishing) this.#finishedKernel(node, finishing)
        else if (!this.#melted.has(keyOf({ node, index: 0 }))) this.#elementwise(node)
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
      steps: this.#ordered(), outputs: outputs.map(value => this.#region(value)), stores,
      trials: [...this.#trials.values()], unfused: this.#steps.length + melted.length + this.#finishing.size,
    }
  }

  /** Which elementwise values melt into their consumer: those with one reader, element for element. */
  #decide(): void {
    const { nodes, uses, kept } = this.#graph
    const leaves = new Map<string, Set<string>>()
    const size = new Map<string, number>()
    const limit = this.#traits.maxStorageBuffers - 1
    for (const node of nodes) {
      if (!isElementwise(node) && node.op.kind !== 'reduce') continue
      const key = keyOf({ node, index: 0 })
      const parts = this.#graph.inputsOf(node).map(({ base, view }) => {
        const from = keyOf(base)
        const melted = this.#melted.has(from)
        return { from, melted, set: melted ? leaves.get(from) ?? new Set<string>() : new Set([from + viewKey(view)]) }
      })
      const union = (): Set<string> => new Set(parts.flatMap(part => [...part.set]))
      const ops = (): number => 1 + parts.reduce((n, part) => n + (part.melted ? size.get(part.from) ?? 0 : 0), 0)
      // Too many buffers, or too long an expression: the widest part gets memory of its own.
      while (union().size > limit || ops() > MAX_FUSED_OPS) {
        const widest = parts.filter(part => part.melted).sort((a, b) => b.set.size - a.set.size)[0]
        if (!widest) break
        this.#melted.delete(widest.from)
        widest.melted = false
        widest.set = new Set([widest.from])
      }
      leaves.set(key, union())
      size.set(key, ops())
      if (!isElementwise(node) || kept.has(key) || this.#forced.has(key)) continue
      const readers = uses.get(key) ?? []
      const transparent = readers.every(use => use.kind !== 'kernel' && isTransparent(use.view, node.outputs[0], use.elements))
      if (transparent && (readers.length === 1 || node.inputs.length === 0)) this.#melted.add(key)
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
      for (const { base, view } of this.#graph.inputsOf(node)) {
        const key = keyOf(base)
        const { op, outputs } = base.node
        const isWhole = view.offset === 0 && isContiguous(view) && sizeOf(view.shape) === sizeOf(outputs[base.index].shape)
        const free = op.kind !== 'source' && !(op.kind === 'kernel' && op.aliases) && !kept.has(key) && uses.get(key)?.length === 1
        if (isWhole && free && offset % ALIGNMENT === 0) this.#placed.set(key, { concat: { node, index: 0 }, offset })
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

  #push(node: Node, launch: Launch, bindings: readonly Binding[]): void {
    this.#steps.push({ step: { launch, bindings }, node })
  }

  #elementwise(node: Elementwise): void {
    const [{ shape, dtype }] = node.outputs
    const group = newGroup(shape)
    const result = this.#emit(node, group)
    const body = bodyOf(group, result)
    const bound = group.inputs.map(({ base, view }) => this.#bind(base, view))
    const region = this.#newRegion({ node, index: 0 })
    const out = contiguousView({ shape, dtype })
    const launch = elementwiseLaunch({ label: labelOf(group), inputs: bound.map(b => b.view), output: out, body }, this.#traits)
    this.#push(node, launch, [...bound.map(b => b.binding), whole(region)])
  }

  #reduce(node: Node): void {
    if (node.op.kind !== 'reduce') throw new Error('not a reduction')
    const [{ base, view }] = this.#graph.inputsOf(node)
    const group = newGroup(view.shape)
    const result = this.#load(base, view, view.shape, group)
    const bound = group.inputs.map(input => this.#bind(input.base, input.view))
    const region = this.#newRegion({ node, index: 0 })
    const axes = node.attributes.axes as readonly number[]
    const { launches, temporaries = [] } = reduceLowering({
      label: [node.op.name, ...group.ops].join(' '), fold: node.op.fold, shape: view.shape, axes,
      inputs: bound.map(b => b.view), output: contiguousView(node.outputs[0]), body: bodyOf(group, result),
    }, this.#traits)
    this.#pushLaunches(node, launches, temporaries, bound.map(b => b.binding), [region])
  }

  /** A kernel's launches, the last of which ends with an expression. */
  #finishedKernel(root: Elementwise, { kernel, keeps }: Finishing): void {
    const [{ shape, dtype }] = root.outputs
    if (dtype !== 'f32' && dtype !== 'f16') throw new Error(`a kernel can't end in ${dtype}`)
    const group: Group = { ...newGroup(shape), finishes: keyOf({ node: kernel, index: 0 }) }
    const result = this.#emit(root, group)
    const bound = group.inputs.map(({ base, view }) => this.#bind(base, view))
    const finish: Finish = {
      label: labelOf(group), shape, inputs: bound.map(b => b.view), body: bodyOf(group, result), dtype, keeps,
    }
    const region = this.#newRegion({ node: root, index: 0 })
    this.#kernel(kernel, { finish, inputs: bound.map(b => b.binding), region })
  }

  #kernel(node: Node, finishing?: BoundFinish): void {
    if (node.op.kind !== 'kernel') throw new Error('not a kernel')
    const { op } = node
    const located = this.#graph.inputsOf(node)
    const bound = located.map(({ base, view }) => this.#bind(base, view))
    const regions = node.outputs.map((_, index) => {
      const alias = op.aliases?.[index]
      if (alias === undefined || alias === null) return this.#newRegion({ node, index })
      const region = this.#region(located[alias].base)
      this.#regions.set(keyOf({ node, index }), region)
      this.#inPlace.set(node, [...(this.#inPlace.get(node) ?? []), region])
      return region
    })
    const context: LoweringContext = {
      inputs: bound.map(b => b.view), outputs: node.outputs, attributes: node.attributes, traits: this.#traits, finish: finishing?.finish,
      choose: chooser(this.#traits, currentTuning() && (question => {
        if (this.#trials.has(question.key)) return
        this.#trials.set(question.key, {
          question,
          lower: n => op.lower({ ...context, choose: answering(this.#traits, question, n) }),
          bytesOf: ({ role, index }) => {
            if (role === 'input') return bound[index].binding.bytes
            if (role === 'output') return padded(sizeOf(node.outputs[index].shape) * bytesOf(node.outputs[index].dtype))
            return bindingOfFinish(finishing, role, index).bytes
          },
        })
      })),
    }
    const { launches: all, temporaries = [] } = op.lower(context)
    // Concat has one launch an input; those that stand in their place already need none.
    const launches = op.name === 'concat' ? all.filter((_, i) => this.#placed.get(keyOf(located[i].base))?.concat.node !== node) : all
    this.#pushLaunches(node, launches, temporaries, bound.map(b => b.binding), regions, finishing)
  }

  #pushLaunches(
    node: Node, launches: readonly Launch[], temporaries: readonly Spec[], inputs: readonly Binding[], outputs: readonly Region[],
    finishing?: BoundFinish,
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
        const key = [launch.wgsl, launch.uniforms, ...bindings.map(({ region, offset }, slot) => (launch.writes.includes(slot) ? '' : `${this.#numberOf(region)}+${offset}`))].join('|')
        const known = this.#filled.get(key)
        const { index } = written[0]
        if (known) {
          scratch[index] = known
          continue
        }
        this.#filled.set(key, scratch[index])
      }
      this.#push(node, launch, bindings)
    }
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

  /** Where a view starts in its region, cut at the alignment that bindings need; what is left stays in the view. */
  #bind(base: Value, view: View): { binding: Binding; view: View } {
    const region = this.#region(base)
    const bytes = bytesOf(view.dtype)
    const start = Math.floor(view.offset * bytes / ALIGNMENT) * ALIGNMENT
    const offset = view.offset - start / bytes
    const extent = view.shape.reduce((last, n, axis) => last + (n - 1) * view.strides[axis], offset) + 1
    const size = Math.min(Math.ceil(extent * bytes / 16) * 16, region.bytes - start)
    return { binding: within({ region, offset: start, bytes: size }), view: { ...view, offset } }
  }

  /** The expression of a located value inside a group: melted in, or loaded. */
  #load(base: Value, view: View, within: readonly number[], group: Group): string {
    const key = keyOf(base)
    if (key === group.finishes) return 'value'
    if (this.#melted.has(key) && isElementwise(base.node)) return this.#emit(base.node, group)
    const spread = inShape(broadcastView(view, within), group.shape)
    if (!spread) throw new Unfusable(group.names.get('current') ?? key)
    const id = `${key}@${viewKey(spread)}`
    const known = group.names.get(id)
    if (known) return known
    const name = `x${group.inputs.length}`
    group.inputs.push({ key: id, base, view: spread })
    group.names.set(id, name)
    return name
  }

  #emit(node: Elementwise, group: Group): string {
    const key = keyOf({ node, index: 0 })
    const known = group.names.get(key)
    if (known) return known
    const { op } = node
    const [out] = node.outputs
    const inputs = this.#graph.inputsOf(node)
    const args = inputs.map(({ base, view }) => {
      const current = group.names.get('current')
      group.names.set('current', key)
      const text = this.#load(base, view, out.shape, group)
      if (current) group.names.set('current', current)
      return text
    })
    const uniforms = (op.uniforms?.(node.attributes) ?? []).map(scalar => {
      group.scalars.push(scalar)
      return `u.s${group.scalars.length - 1}`
    })
    for (const helper of op.helpers ?? []) group.helpers.add(helper)
    const index = sizeOf(out.shape) === 1 ? '0u' : 'i'
    const text = op.wgsl(args, { attributes: node.attributes, inputs: inputs.map(({ view }) => view.dtype), output: out.dtype, index, uniforms })
    const name = `v${group.lines.length}`
    group.lines.push(`let ${name}: ${scalarType(out.dtype)} = ${text};`)
    group.names.set(key, name)
    if (node.inputs.length > 0) group.ops.push(op.name)
    return name
  }

  /** Steps in the order of their making, except that an update in place waits for every reader of the old value. */
  #ordered(): Step[] {
    if (this.#inPlace.size === 0) return this.#steps.map(({ step }) => step)
    const after = this.#steps.map(() => new Set<number>())
    const writer = new Map<Region, number>()
    const readers = new Map<Region, number[]>()
    this.#steps.forEach(({ step }, i) => {
      step.bindings.forEach(({ region }, slot) => {
        const last = writer.get(region)
        if (last !== undefined && last !== i) after[i].add(last)
        if (step.launch.writes.includes(slot)) return
        readers.set(region, [...(readers.get(region) ?? []), i])
      })
      step.launch.writes.forEach(slot => writer.set(step.bindings[slot].region, i))
    })
    const updaters = new Map<Region, { node: Node; at: number }>()
    this.#steps.forEach(({ node }, at) => this.#inPlace.get(node)?.forEach(region => updaters.set(region, { node, at })))
    for (const [region, { node, at }] of updaters) {
      for (const reader of readers.get(region) ?? []) {
        if (this.#steps[reader].node === node) continue
        if (after[reader].has(at)) {
          // It was scheduled after the update; it reads the new value only if it asked for the update's output.
          if (this.#readsOutputOf(this.#steps[reader].node, node)) continue
          after[reader].delete(at)
        }
        after[at].add(reader)
      }
    }
    return topological(this.#steps.map(({ step }) => step), after)
  }

  #readsOutputOf(reader: Node, updater: Node): boolean {
    const seen = new Set<Node>()
    const visit = (node: Node): boolean => this.#graph.inputsOf(node).some(({ base }) => {
      if (base.node === updater) return true
      if (!this.#melted.has(keyOf(base)) || seen.has(base.node)) return false
      seen.add(base.node)
      return visit(base.node)
    })
    return visit(reader)
  }
}

/** Indices in order, each after those it must follow. Throws where they go round in a circle. */
function topological(steps: readonly Step[], after: readonly ReadonlySet<number>[]): Step[] {
  const done = new Array<boolean>(steps.length).fill(false)
  const order: Step[] = []
  const visiting = new Set<number>()
  const visit = (i: number): void => {
    if (done[i]) return
    if (visiting.has(i)) throw new UserError('a variable is read after its own update in place: read its old value into another first')
    visiting.add(i)
    for (const before of [...after[i]].sort((a, b) => a - b)) visit(before)
    visiting.delete(i)
    done[i] = true
    order.push(steps[i])
  }
  steps.forEach((_, i) => visit(i))
  return order
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

const padded = (bytes: number): number => Math.ceil(bytes / 256) * 256
const whole = (region: Region): Binding => within({ region, offset: 0, bytes: region.bytes })
/** A binding of the memory itself, where its region is a stretch of a larger one. */
const within = ({ region, offset, bytes }: Binding): Binding => (region.within
  ? within({ region: region.within.region, offset: region.within.offset + offset, bytes: Math.min(bytes, region.within.region.bytes - region.within.offset - offset) })
  : { region, offset, bytes })
const newGroup = (shape: readonly number[]): Group =>
  ({ shape, inputs: [], lines: [], names: new Map(), helpers: new Set(), scalars: [], ops: [] })
const bodyOf = (group: Group, result: string): Body =>
  ({ lines: group.lines, result, helpers: [...group.helpers], scalars: group.scalars })
const labelOf = (group: Group): string => group.ops.join(' ') || 'fill'

function inShape(view: View, shape: readonly number[]): View | undefined {
  const elements = sizeOf(view.shape)
  if (elements === sizeOf(shape)) return reshapeView(view, shape)
  if (elements !== 1) return undefined
  return { ...view, shape, strides: shape.map(() => 0) }
}
