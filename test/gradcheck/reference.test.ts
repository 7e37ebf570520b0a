// Net 1: every gradient rule, in float64 against central differences. No device.
import { describe, test } from 'vitest'
import { cases } from './cases.ts'
import { expectMet, holds, onHost } from './run.ts'

describe('in float64, gradients are the slopes that differences find', () => {
  for (const of of cases.filter(({ nets }) => nets.includes(1))) {
    test(of.name, () => holds(of, true, async drawn => expectMet(of, drawn, onHost(drawn))))
  }
})
