// What --profile shows: one step's time by kernel, compared with the most that the adapter reaches, and as a trace.
import type { KernelTime } from '../../../engine/index.ts'
import { type Ceilings, shareOf } from '../../../engine/runtime/ceilings.ts'
import { percent, table } from '../cli/console.ts'

interface KernelTotal {
  readonly label: string
  readonly count: number
  readonly nanoseconds: number
  readonly operations: number
  readonly bytes: number
}

/** Totals of the dispatches of each label, the longest first. */
export function byLabel(kernels: readonly KernelTime[]): KernelTotal[] {
  const totals = new Map<string, KernelTotal>()
  for (const { label, nanoseconds, operations = 0, bytes } of kernels) {
    const sum = totals.get(label) ?? { label, count: 0, nanoseconds: 0, operations: 0, bytes: 0 }
    totals.set(label, {
      label,
      count: sum.count + 1,
      nanoseconds: sum.nanoseconds + nanoseconds,
      operations: sum.operations + operations,
      bytes: sum.bytes + bytes,
    })
  }
  return [...totals.values()].sort((a, b) => b.nanoseconds - a.nanoseconds)
}

/**
 * A row for each kernel: count, milliseconds, share of the step, GFLOP/s, GB/s, and the share of the nearer ceiling.
 */
export function profileTable(kernels: readonly KernelTime[], ceilings: Pick<Ceilings, 'operations' | 'bytes'>): string {
  const totals = byLabel(kernels)
  const all = totals.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0)
  const row = ({ label, count, nanoseconds, operations, bytes }: KernelTotal): string[] => {
    const perSecond = (amount: number): number => (nanoseconds > 0 ? amount / (nanoseconds / 1e9) : 0)
    const reached = shareOf(ceilings, operations, bytes, nanoseconds / 1e6)
    return [
      label,
      `${count}`,
      (nanoseconds / 1e6).toFixed(2),
      percent(nanoseconds / all),
      operations > 0 ? (perSecond(operations) / 1e9).toFixed(1) : '–',
      (perSecond(bytes) / 1e9).toFixed(1),
      percent(reached),
    ]
  }
  const end = Math.max(...kernels.map(({ start, nanoseconds }) => start + nanoseconds))
  return [
    table([['kernel', 'count', 'ms', 'share', 'GFLOP/s', 'GB/s', 'of ceiling'], ...totals.map(row)]),
    '',
    `${kernels.length} dispatches: ${(all / 1e6).toFixed(1)} ms, of ${(end / 1e6).toFixed(1)} ms from the first to the last (busy ${percent(all / end)}).`,
    `Ceilings of this adapter, measured: ${(ceilings.operations / 1e9).toFixed(1)} GFLOP/s of f32 multiply-adds, ${(ceilings.bytes / 1e9).toFixed(1)} GB/s copied.`,
  ].join('\n')
}

/** The dispatches in the Trace Event Format, which Perfetto opens; times in microseconds. */
export function traceEvents(kernels: readonly KernelTime[]): { traceEvents: readonly Record<string, unknown>[] } {
  return {
    traceEvents: [
      { name: 'thread_name', ph: 'M', pid: 1, tid: 1, args: { name: 'GPU queue' } },
      ...kernels.map(({ label, start, nanoseconds, operations, bytes }) => ({
        name: label,
        cat: 'kernel',
        ph: 'X',
        pid: 1,
        tid: 1,
        ts: start / 1000,
        dur: nanoseconds / 1000,
        args: { operations, bytes },
      })),
    ],
  }
}
