// Where values live: the plan's memory by liveness, as a property of any schedule.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planMemory } from '../../engine/compile/memory.ts'
import type { Region, Step } from '../../engine/compile/region.ts'
import { schedule } from '../../engine/compile/schedule.ts'
import { loadKernels, registeredOps } from '../../engine/graph.ts'
import { grad, tensor } from '../../engine/index.ts'
import type { Launch, Traits } from '../../shaders/kernel.ts'

const launch: Launch = {
  label: 'step',
  wgsl: '',
  slots: [],
  writes: [],
  uniforms: new Uint32Array(1),
  workgroups: [1, 1, 1],
}

/** First and last step of every planned region; a held one lives past the end. */
function lives(steps: readonly Step[], held: ReadonlySet<Region>): Map<Region, [number, number]> {
  const found = new Map<Region, [number, number]>()
  steps.forEach(({ bindings }, at) => {
    for (const { region } of bindings)
      if (!region.source) found.set(region, [found.get(region)?.[0] ?? at, held.has(region) ? steps.length : at])
  })
  return found
}

function expectSound(steps: readonly Step[], held: ReadonlySet<Region>): void {
  const { sizes, slotOf, liveBytes } = planMemory(steps, held)
  const all = [...lives(steps, held)]
  for (const [region, [first, last]] of all) {
    const slot = slotOf.get(region)
    expect(slot, 'every region has a buffer').toBeDefined()
    expect(sizes[slot ?? -1], 'which is large enough').toBeGreaterThanOrEqual(region.bytes)
    for (const [other, [from, to]] of all) {
      if (other !== region && slotOf.get(other) === slot)
        expect(last < from || to < first, 'and no other living region is in it').toBe(true)
    }
  }
  const total = sizes.reduce((a, b) => a + b, 0)
  expect(total).toBeGreaterThanOrEqual(liveBytes)
  expect(total).toBeLessThanOrEqual(all.reduce((sum, [region]) => sum + region.bytes, 0))
}

const plans = fc.record({
  sizes: fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 12 }),
  steps: fc.array(fc.array(fc.nat(11), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 15 }),
  held: fc.array(fc.nat(11), { maxLength: 3 }),
})

describe('memory by liveness', () => {
  test('regions that are alive at the same time never share a buffer', () => {
    fc.assert(
      fc.property(plans, ({ sizes, steps, held }) => {
        const regions = sizes.map((n, i): Region => ({ bytes: n * 256, dtype: 'f32', label: `region ${i}` }))
        const used = steps.map((numbers): Step => ({
          launch,
          bindings: [...new Set(numbers.map(n => regions[n % regions.length]))].map(region => ({
            region,
            offset: 0,
            bytes: region.bytes,
          })),
        }))
        expectSound(used, new Set(held.map(n => regions[n % regions.length])))
      }),
      { numRuns: 300 },
    )
  })

  test('a chain of any length needs two buffers', () => {
    const regions = Array.from({ length: 20 }, (_, i): Region => ({ bytes: 1024, dtype: 'f32', label: `${i}` }))
    const steps = regions.slice(1).map((region, i): Step => ({
      launch,
      bindings: [regions[i], region].map(r => ({ region: r, offset: 0, bytes: 1024 })),
    }))
    expect(planMemory(steps, new Set()).sizes).toEqual([1024, 1024])
  })

  test('the plan of a network and its gradients is sound, and smaller than the sum of its values', async () => {
    await loadKernels(registeredOps())
    const traits: Traits = {
      name: 'any',
      cpu: false,
      f16: false,
      subgroupSize: 0,
      maxWorkgroupInvocations: 256,
      maxWorkgroupStorage: 16384,
      maxStorageBuffers: 8,
      maxWorkgroups: 65535,
    }
    const weights = Array.from({ length: 6 }, (_, i) => tensor(new Float32Array(64 * 64).fill(i), [64, 64]))
    const x = tensor(new Float32Array(32 * 64).fill(1), [32, 64])
    const y = weights.reduce((h, w) => h.add(h.matmul(w).gelu().softmax()), x)
    const outputs = grad(y.square().sum(), weights)
    const { steps, outputs: regions } = schedule(
      outputs.map(t => t.value),
      [],
      traits,
    )
    expectSound(steps, new Set(regions))
    const { sizes } = planMemory(steps, new Set(regions))
    const all = [...lives(steps, new Set()).keys()].reduce((sum, region) => sum + region.bytes, 0)
    expect(sizes.reduce((a, b) => a + b, 0)).toBeLessThan(0.8 * all)
  })
})
