// The engine's ops in float64: what gradient checks and tests compare kernels with. One file for each of ops/ whose ops
// have kernels or reduce; elementwise ops have their float64 value beside their WGSL, and that of a view is its strides.
// Programs don't load this folder.
import { UserError } from '../errors.ts'
import type { KernelOp, Reference, ReduceOp } from '../graph.ts'
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
  }),
)

/** What computes an op's outputs in float64. Throws a UserError if nothing does. */
export function findReference({ name, reference }: KernelOp | ReduceOp): Reference {
  const found = reference ?? references.get(name)
  if (!found) throw new UserError(`op ${name} has no reference: nothing computes it in float64`)
  return found
}
