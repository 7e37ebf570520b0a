// Nets 2 and 3 as tests: what several files do, so that they run beside each other, each on a device of its own.
import { afterAll, beforeAll, describe, test } from 'vitest'
import { readAll } from '../../engine/evaluate.ts'
import { type Device, currentDevice } from '../../engine/node.ts'
import type { OpCase } from './draw.ts'
import { expectMet, formOf, holds, planned, throughCandidates } from './run.ts'

/** Of so many draws one goes through every candidate of its kernels. */
const CANDIDATES_EVERY = 6

export function describeOnDevice(cases: readonly OpCase[]): void {
  let device: Device
  beforeAll(async () => { device = await currentDevice() })
  afterAll(() => device.close())

  describe('the device gives what float64 gives, and gradients that its own differences find', () => {
    for (const of of cases) {
      test(of.name, { timeout: 600_000 }, async () => {
        let number = 0
        await holds(of, device.traits.f16, async drawn => {
          const form = formOf(drawn)
          const check = planned(drawn, form, [2, 3])
          expectMet(of, drawn, form, check.judge(await readAll(check.reads)))
          if (number++ % CANDIDATES_EVERY !== 0) return
          const { reports } = await throughCandidates(planned(drawn, form, [2]))
          for (const report of reports) expectMet(of, drawn, form, report)
        })
      })
    }
  })

  test('half precision is checked too', ({ skip }) => {
    skip(!device.traits.f16, `${device.info.name} has no shader-f16`)
  })
}
