// Values that are computed directly into the output of an op that puts its inputs side by side (concat), without a
// copy.
import { bytesOf } from '../../shaders/kernel.ts'
import type { Value } from '../graph.ts'
import type { Canonical } from './canonical.ts'
import { isWhole, keyOf } from './located.ts'
import { ALIGNMENT } from './region.ts'

/** Where in another value's memory a value is, in bytes from its start. */
export interface Placement {
  readonly within: Value
  readonly offset: number
}

/** Placements by `keyOf`: of inputs with no other reader whose offset is aligned for a binding. */
export function findPlacements({ nodes, inputsOf, uses, kept }: Canonical): ReadonlyMap<string, Placement> {
  const placements = new Map<string, Placement>()
  for (const node of nodes) {
    if (node.op.kind !== 'kernel' || !node.op.starts) continue
    const [output] = node.outputs
    const inputs = inputsOf(node)
    const keys = inputs.map(({ base }) => keyOf(base))
    const views = inputs.map(({ view }) => view)
    const starts = node.op.starts(views, output, node.attributes)
    starts?.forEach((start, i) => {
      const { op } = inputs[i].base.node
      const isReadOnce = uses.get(keys[i])?.length === 1 && keys.filter(key => key === keys[i]).length === 1
      const isMovable = op.kind !== 'source' && !(op.kind === 'kernel' && op.aliases) && !kept.has(keys[i])
      const offset = start * bytesOf(output.dtype)
      if (isReadOnce && isMovable && isWhole(inputs[i]) && offset % ALIGNMENT === 0)
        placements.set(keys[i], { within: { node, index: 0 }, offset })
    })
  }
  return placements
}
