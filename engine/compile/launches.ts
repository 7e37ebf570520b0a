// Which of a node's launches become dispatches: those whose results are needed and that no other node has launched
// already.
import type { Launch, Slot } from '../../shaders/kernel.ts'
import type { Node } from '../graph.ts'
import { payloadOf } from '../payload.ts'
import type { Canonical } from './canonical.ts'
import { keyOf } from './located.ts'
import type { Binding, Region } from './region.ts'

/** Drops launches whose outputs are all dead, such as the gradient of a first layer's keys without LoRA on them. */
export function liveLaunches(node: Node, launches: readonly Launch[], { uses, kept }: Canonical): readonly Launch[] {
  const isReread = ({ index }: Slot): boolean =>
    launches.some(({ slots, writes }) =>
      slots.some((other, slot) => other.role === 'output' && other.index === index && !writes.includes(slot)),
    )
  const isRead = (output: Slot): boolean => {
    const key = keyOf({ node, index: output.index })
    return uses.has(key) || kept.has(key) || isReread(output)
  }
  return launches.filter(({ slots, writes }) =>
    writes.some(slot => slots[slot].role !== 'output' || isRead(slots[slot])),
  )
}

/** Temporaries that are the same for several nodes, such as a packed attention mask: each is computed once. */
export class SharedTemporaries {
  readonly #filled = new Map<string, Region>()
  readonly #numbers = new Map<Region, number>()

  /** The region of an equal launch's result. If there is none, notes this launch and returns undefined. */
  find(launch: Launch, launches: readonly Launch[], bindings: readonly Binding[]): Region | undefined {
    const [written, ...others] = launch.writes
    const { role, index } = launch.slots[written]
    if (others.length > 0 || role !== 'temporary' || !isFilledOnce(index, launches)) return undefined
    const read = bindings.filter((_, slot) => slot !== written)
    if (!read.every(isConstant)) return undefined
    const places = read.map(({ region, offset }) => `${this.#numberOf(region)}+${offset}`)
    const key = [launch.wgsl, launch.uniforms, ...places].join('|')
    const known = this.#filled.get(key)
    if (!known) this.#filled.set(key, bindings[written].region)
    return known
  }

  #numberOf(region: Region): number {
    const number = this.#numbers.get(region) ?? this.#numbers.size
    this.#numbers.set(region, number)
    return number
  }
}

/** Whether only one launch writes a temporary. One that later launches change can't be shared. */
function isFilledOnce(temporary: number, launches: readonly Launch[]): boolean {
  const fills = ({ slots, writes }: Launch): boolean =>
    writes.some(slot => slots[slot].role === 'temporary' && slots[slot].index === temporary)
  return launches.filter(fills).length === 1
}

/** Whether memory is an input or a constant of the plan, which no update changes. */
const isConstant = ({ region: { source } }: Binding): boolean =>
  source !== undefined && payloadOf(source).kind !== 'storage'
