// No op without a property test, and none that fails on a batch of 0: walks the registry, and looks into the drawn graphs
// for what they really hold.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import '../../engine/ops/adamw.ts'
import { type Tensor, UserError, grad, zeros } from '../../engine/index.ts'
import { type Attributes, type Node, reachable, registeredOps, specOf } from '../../engine/graph.ts'
import { reference } from '../../engine/reference.ts'
import { findReference } from '../../engine/references/index.ts'
import { isEmpty, sizeOf } from '../../engine/shape.ts'
import { applyOp } from '../../engine/tensor.ts'
import { type Spec, isFloat } from '../../shaders/kernel.ts'
import { SEED } from '../support/seed.ts'
import { cases } from './cases.ts'

/** Nodes of a case's drawn functions and of their gradients. */
function nodesOf(of: (typeof cases)[number]): Set<Node> {
  const found = new Set<Node>()
  for (const { fn, inputs, options } of fc.sample(of.draws(true), { numRuns: 10, seed: SEED })) {
    const y = fn(...inputs)
    const wrt = inputs.filter((t, i) => isFloat(t.dtype) && (options.wrt?.includes(i) ?? true))
    const gradients = isFloat(y.dtype) && wrt.length > 0 ? grad(y.cast('f32').sum(), wrt) : []
    for (const node of reachable([y, ...gradients].map(t => t.value))) found.add(node)
  }
  return found
}

const nodes = new Map(cases.map(of => [of, nodesOf(of)]))
const opNames = (of: (typeof cases)[number]): string[] => Array.from(nodes.get(of) ?? [], ({ op }) => op.name)

describe('every op has a property test', () => {
  for (const { name } of registeredOps()) {
    test(name, () => {
      const own = cases.filter(({ op }) => op === name)
      expect(own.length, `no case in test/gradcheck/cases draws ${name}`).toBeGreaterThan(0)
      for (const of of own) {
        expect(opNames(of), `the case of ${of.name} draws graphs with ${name} in them`).toContain(name)
        if (of.nets.length < 3)
          expect(of.why, `${of.name} says why nets other than ${of.nets} do not apply`).toBeTruthy()
      }
      const nets = new Set(own.flatMap(of => of.nets))
      expect(nets, 'its kernels are compared with float64').toContain(2)
      const differentiable = registeredOps().find(op => op.name === name)?.gradient !== undefined
      if (differentiable) expect(nets, 'its gradient rule is compared with differences').toContain(1)
    })
  }

  test('and every case is of an op that exists', () => {
    const names = new Set(registeredOps().map(op => op.name))
    for (const { op } of cases) expect(names).toContain(op)
  })
})

/**
 * A node's inputs and attributes with a batch of 0: what is as long as the first axis is 0, on first axes or, if the op
 * refuses that, on all.
 */
function ofNoBatch({ op, inputs, attributes, outputs }: Node): { specs: Spec[]; attributes: Attributes } | undefined {
  const [batch] = (inputs.map(specOf).find(({ shape }) => shape.length > 0) ?? outputs[0]).shape
  if (batch === undefined) return undefined
  const first = (shape: readonly number[]): number[] => shape.map((n, axis) => (axis === 0 && n === batch ? 0 : n))
  const all = (shape: readonly number[]): number[] => shape.map(n => (n === batch ? 0 : n))
  for (const cut of [first, all]) {
    const specs = inputs.map(specOf).map(({ shape, dtype }) => ({ shape: cut(shape), dtype }))
    const changed = Object.entries(attributes).map(([name, value]) => {
      if ((name === 'shape' || name === 'end') && Array.isArray(value)) return [name, cut(value as number[])]
      return [name, op.name === 'range' && name === 'length' ? 0 : value]
    })
    const own = Object.fromEntries(changed) as Attributes
    try {
      op.infer(specs, own)
      return { specs, attributes: own }
    } catch (error) {
      if (!(error instanceof UserError)) throw error
    }
  }
  return undefined
}

describe('a batch of 0', () => {
  const all = Array.from(nodes.values(), found => [...found]).flat()
  /** Of each op, so many nodes are enough. */
  const MOST = 20
  /** A number has no axis, and a source's shape is not its op's. */
  const without = ['scalar', 'source']
  test.each(registeredOps().filter(({ name }) => !without.includes(name)))('of $name', op => {
    const tried = all.flatMap(node => (node.op === op ? (ofNoBatch(node) ?? []) : [])).slice(0, MOST)
    expect(tried.length, 'drawn graphs whose shapes allow it').toBeGreaterThan(0)
    for (const { specs, attributes } of tried) {
      const inputs = specs.map(({ shape, dtype }) => zeros(shape, dtype))
      const wanted = op.infer(specs, attributes)
      const outputs = applyOp(op, inputs, attributes)
      expect(outputs.map(({ shape, dtype }) => ({ shape, dtype }))).toEqual(
        wanted.map(({ shape, dtype }) => ({ shape, dtype })),
      )
      for (const node of reachable(outputs.map(y => y.value)).filter(({ op: { kind } }) => kind !== 'source'))
        expect([...node.inputs.map(specOf), ...node.outputs].some(isEmpty), `${node.op.name} of nothing`).toBe(false)
      if (op.kind !== 'elementwise' && op.kind !== 'source') {
        const none = specs.map(({ shape }) => new Float64Array(sizeOf(shape)))
        const exact = findReference(op)(none, { inputs: specs, outputs: wanted }, attributes)
        expect(reference(outputs)).toEqual(exact)
      }
      const floats = inputs.filter(x => isFloat(x.dtype))
      const sums = outputs.filter((y): y is Tensor => isFloat(y.dtype)).map(y => y.sum())
      if (op.gradient && sums.length > 0 && specs.some(isEmpty))
        expect(
          grad(
            sums.reduce((a, b) => a.add(b)),
            floats,
          ).map(x => x.shape),
        ).toEqual(floats.map(x => x.shape))
    }
  })
})
