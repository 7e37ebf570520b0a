// No op without a property test: walks the registry, and looks into the drawn graphs for what they really hold.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import '../../engine/ops/adamw.ts'
import { grad } from '../../engine/index.ts'
import { registeredOps } from '../../engine/graph.ts'
import { isFloat } from '../../shaders/kernel.ts'
import { SEED } from '../support/seed.ts'
import { cases } from './cases.ts'
import { opsUnder } from './run.ts'

/** Ops in a case's drawn functions and in their gradients. */
function opsOf(of: (typeof cases)[number]): Set<string> {
  const found = new Set<string>()
  for (const { fn, inputs, options } of fc.sample(of.draws(true), { numRuns: 10, seed: SEED })) {
    const y = fn(...inputs)
    const wrt = inputs.filter((t, i) => isFloat(t.dtype) && (options.wrt?.includes(i) ?? true))
    const gradients = isFloat(y.dtype) && wrt.length > 0 ? grad(y.cast('f32').sum(), wrt) : []
    for (const name of opsUnder([y, ...gradients])) found.add(name)
  }
  return found
}

describe('every op has a property test', () => {
  for (const { name } of registeredOps()) {
    test(name, () => {
      const own = cases.filter(({ op }) => op === name)
      expect(own.length, `no case in test/gradcheck/cases draws ${name}`).toBeGreaterThan(0)
      for (const of of own) {
        expect(opsOf(of), `the case of ${of.name} draws graphs with ${name} in them`).toContain(name)
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
