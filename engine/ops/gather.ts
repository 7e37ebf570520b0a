// Rows of a table by their ids (embedding lookup), and the gradient of the table.
//
// An id outside the table gives a row of zeros and adds nothing to the gradient.
import { type Spec, isFloat } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { sameShape, showSpec, sizeOf } from '../shape.ts'
import { apply } from '../tensor.ts'
import { filled } from './source.ts'

const kernels = new OnDemand(() => import('../../shaders/gather.ts'))

function needIds(op: string, ids: Spec): void {
  if (ids.dtype !== 'i32') throw new UserError(`${op}: ids are ${showSpec(ids)}, but i32 was expected`)
}

declare module '../graph.ts' {
  interface OpAttributes {
    readonly gather: NoAttributes
    readonly gatherGradient: { readonly rows: number }
  }
}

// [...ids.shape, width] from a table [rows, width] and ids.
defineOp({
  name: 'gather',
  kind: 'kernel',
  rounding: 'none',
  infer([table, ids]) {
    if (table.shape.length !== 2) {
      throw new UserError(`gather: the table is ${showSpec(table)}, but [rows, width] was expected`)
    }
    needIds('gather', ids)
    return [{ shape: [...ids.shape, table.shape[1]], dtype: table.dtype }]
  },
  gradient({ inputs: [table, ids], upstream: [dy], needs }) {
    if (!dy || !needs[0]) return []
    return [apply('gatherGradient', [ids, dy], { rows: table.shape[0] }).cast(table.dtype), undefined]
  },
  ofNothing: filled(0),
  kernels,
  lower(context) {
    const [{ shape, dtype }, ids] = context.inputs
    const sizes = { positions: sizeOf(ids.shape), rows: shape[0], width: shape[1] }
    const problem = { ...sizes, dtype }
    const candidates = kernels.module.gatherCandidates(problem, context.traits)
    const config = context.choose({ kernel: 'gather', sizes, options: { dtype } }, candidates)
    return { launches: [kernels.module.gatherLaunch(problem, config, context.traits)] }
  },
})

// f32 [rows, width]: each row is the sum of the rows of dy [...ids.shape, width] with its id.
defineOp({
  name: 'gatherGradient',
  kind: 'kernel',
  infer([ids, dy], { rows }) {
    needIds('gatherGradient', ids)
    const width = dy.shape[dy.shape.length - 1]
    if (!isFloat(dy.dtype) || dy.shape.length === 0 || !sameShape(dy.shape, [...ids.shape, width])) {
      const expected = `floats of shape [...ids.shape, width] were expected (ids are ${showSpec(ids)})`
      throw new UserError(`gatherGradient: dy is ${showSpec(dy)}, but ${expected}`)
    }
    return [{ shape: [rows, width], dtype: 'f32' }]
  },
  gradient({ inputs: [ids, dy], upstream: [u], needs }) {
    if (!u || !needs[1]) return []
    return [undefined, u.gather(ids).cast(dy.dtype)]
  },
  ofNothing: filled(0),
  kernels,
  lower(context) {
    const [ids, { dtype }] = context.inputs
    const [rows, width] = context.outputs[0].shape
    const sizes = { positions: sizeOf(ids.shape), rows, width }
    const problem = { ...sizes, dtype }
    const candidates = kernels.module.gatherGradientCandidates(problem, context.traits)
    const config = context.choose({ kernel: 'gatherGradient', sizes, options: { dtype } }, candidates)
    return kernels.module.gatherGradientLowering(problem, config, context.traits)
  },
})
