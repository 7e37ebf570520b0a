// The engine's ops in float64: what gradient checks and tests compare kernels with. One file for each of ops/, but for
// elementwise ops, which have their float64 value beside their WGSL. Programs don't load this folder.
import { UserError } from '../errors.ts'
import type { KernelOp, Reference, ReduceOp, ViewOp } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import { contiguousView, isContiguous, readThrough } from '../view.ts'
import { adamw } from './adamw.ts'
import { attention } from './attention.ts'
import { concat } from './concat.ts'
import { conv } from './conv.ts'
import { crossEntropy } from './cross-entropy.ts'
import { divergence } from './divergence.ts'
import { gather } from './gather.ts'
import { layerNorm } from './layer-norm.ts'
import { lora } from './lora.ts'
import { matmul } from './matmul.ts'
import { pool } from './pool.ts'
import { reduce } from './reduce.ts'
import { rmsNorm } from './rms-norm.ts'
import { scan } from './scan.ts'
import { scatter } from './scatter.ts'
import { softmax } from './softmax.ts'
import { sort } from './sort.ts'
import { views } from './views.ts'

const references: ReadonlyMap<string, Reference> = new Map<string, Reference>(
  Object.entries({
    ...adamw,
    ...attention,
    ...concat,
    ...conv,
    ...crossEntropy,
    ...divergence,
    ...gather,
    ...layerNorm,
    ...lora,
    ...matmul,
    ...pool,
    ...reduce,
    ...rmsNorm,
    ...scan,
    ...scatter,
    ...softmax,
    ...sort,
    ...views,
  }),
)

/**
 * What computes an op's outputs in float64; for a view of one's own, by its strides. Throws a UserError if nothing does.
 */
export function findReference(op: KernelOp | ReduceOp | ViewOp): Reference {
  if (op.kind === 'view') return references.get(op.name) ?? byStrides(op)
  const found = op.reference ?? references.get(op.name)
  if (!found) throw new UserError(`op ${op.name} has no reference: nothing computes it in float64`)
  return found
}

const byStrides =
  (op: ViewOp): Reference =>
  ([x], { inputs: [spec], outputs: [out] }, attributes) => {
    const view = op.view(contiguousView(spec), attributes, out)
    if (!view) throw new Error(`op ${op.name} gives no view of a contiguous input`)
    return [isContiguous(view) ? x.subarray(view.offset, view.offset + sizeOf(view.shape)) : readThrough(x, view)]
  }
