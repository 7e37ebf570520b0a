// Assigns buffers to planned regions by liveness: largest first, each into a buffer that no other region uses at the
// same time. Only whole buffers are shared, since a dispatch may not bind one buffer for both reading and writing.
import type { Region, Step } from './region.ts'

export interface MemoryPlan {
  /** Sizes of the buffers, largest first. */
  readonly sizes: readonly number[]
  readonly slotOf: ReadonlyMap<Region, number>
  /** The most bytes that are alive at any one step: a lower bound for every plan. */
  readonly liveBytes: number
}

interface Interval {
  readonly region: Region
  first: number
  last: number
}

/** Plans all regions without a source; those in `held` stay alive after the last step. */
export function planMemory(steps: readonly Step[], held: ReadonlySet<Region>): MemoryPlan {
  const intervals = new Map<Region, Interval>()
  steps.forEach((step, at) => {
    for (const { region } of step.bindings) {
      if (region.source) continue
      const interval = intervals.get(region)
      if (interval) interval.last = at
      else intervals.set(region, { region, first: at, last: at })
    }
  })
  for (const interval of intervals.values()) {
    if (held.has(interval.region)) interval.last = steps.length
  }
  const slots: { bytes: number; taken: Interval[] }[] = []
  const placed = new Map<Region, { bytes: number; taken: Interval[] }>()
  const bySize = [...intervals.values()].sort((a, b) => b.region.bytes - a.region.bytes || a.first - b.first)
  for (const interval of bySize) {
    const free = slots.find(slot =>
      slot.taken.every(other => other.last < interval.first || interval.last < other.first),
    )
    const slot = free ?? { bytes: interval.region.bytes, taken: [] }
    if (!free) slots.push(slot)
    slot.taken.push(interval)
    placed.set(interval.region, slot)
  }
  let liveBytes = 0
  for (let at = 0; at <= steps.length; at++) {
    let alive = 0
    for (const { region, first, last } of intervals.values()) if (first <= at && at <= last) alive += region.bytes
    liveBytes = Math.max(liveBytes, alive)
  }
  const slotOf = new Map([...placed].map(([region, slot]) => [region, slots.indexOf(slot)]))
  return { sizes: slots.map(slot => slot.bytes), slotOf, liveBytes }
}
