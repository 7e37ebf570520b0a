// What --profile shows: one step's time by kernel, beside what the adapter reaches at its best, and as a trace.
import { type KernelTime, compile, concat, currentDevice, variable } from '../../../engine/index.ts'
import { percent, table } from '../cli/console.ts'

/** What the adapter reached in a large matmul and in a large copy. */
export interface Ceilings {
  /** Operations a second. */
  readonly operations: number
  /** Bytes a second, read and written together. */
  readonly bytes: number
}

const RUNS = 3

/** Measures both on the device in use: some seconds on a CPU adapter, less on a GPU. */
export async function measureCeilings(): Promise<Ceilings> {
  const { traits } = await currentDevice()
  const side = traits.cpu ? 512 : 4096
  const [a, b] = ['a', 'b'].map(name => variable({ shape: [side, side], dtype: 'f32' }, `ceiling ${name}`))
  const long = variable({ shape: [traits.cpu ? 2 ** 22 : 2 ** 24], dtype: 'f32' }, 'ceiling copy')
  const multiply = compile(() => ({ y: a.tensor.matmul(b.tensor) }))
  const copy = compile(() => ({ y: concat([long.tensor, long.tensor]) }))
  const best = async (run: { profile(): Promise<{ kernels: readonly KernelTime[] }> }): Promise<{ operations: number, bytes: number }> => {
    let most = { operations: 0, bytes: 0 }
    for (let i = 0; i < RUNS; i++) {
      const { kernels } = await run.profile()
      const seconds = kernels.reduce((sum, k) => sum + k.nanoseconds, 0) / 1e9
      const rate = (of: (kernel: KernelTime) => number): number => kernels.reduce((sum, k) => sum + of(k), 0) / seconds
      most = { operations: Math.max(most.operations, rate(k => k.operations ?? 0)), bytes: Math.max(most.bytes, rate(k => k.bytes)) }
    }
    return most
  }
  const ceilings = { operations: (await best(multiply)).operations, bytes: (await best(copy)).bytes }
  for (const held of [a, b, long]) held.release()
  return ceilings
}

interface KernelTotal {
  readonly label: string
  readonly count: number
  readonly nanoseconds: number
  readonly operations: number
  readonly bytes: number
}

/** The dispatches of each label together, those that take longest first. */
export function byLabel(kernels: readonly KernelTime[]): KernelTotal[] {
  const totals = new Map<string, KernelTotal>()
  for (const { label, nanoseconds, operations = 0, bytes } of kernels) {
    const sum = totals.get(label) ?? { label, count: 0, nanoseconds: 0, operations: 0, bytes: 0 }
    totals.set(label, {
      label, count: sum.count + 1, nanoseconds: sum.nanoseconds + nanoseconds,
      operations: sum.operations + operations, bytes: sum.bytes + bytes,
    })
  }
  return [...totals.values()].sort((a, b) => b.nanoseconds - a.nanoseconds)
}

/** A row a kernel: count, milliseconds, share of the step, GFLOP/s, GB/s, and the share of the ceiling nearer to it. */
export function profileTable(kernels: readonly KernelTime[], ceilings: Ceilings): string {
  const totals = byLabel(kernels)
  const all = totals.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0)
  const row = ({ label, count, nanoseconds, operations, bytes }: KernelTotal): string[] => {
    const perSecond = (amount: number): number => (nanoseconds > 0 ? amount / (nanoseconds / 1e9) : 0)
    const reached = Math.max(perSecond(operations) / ceilings.operations, perSecond(bytes) / ceilings.bytes)
    return [
      label, `${count}`, (nanoseconds / 1e6).toFixed(2), percent(nanoseconds / all),
      operations > 0 ? (perSecond(operations) / 1e9).toFixed(1) : '–', (perSecond(bytes) / 1e9).toFixed(1), percent(reached),
    ]
  }
  const end = Math.max(...kernels.map(({ start, nanoseconds }) => start + nanoseconds))
  return [
    table([['kernel', 'count', 'ms', 'share', 'GFLOP/s', 'GB/s', 'of ceiling'], ...totals.map(row)]),
    '',
    `${kernels.length} dispatches: ${(all / 1e6).toFixed(1)} ms, of ${(end / 1e6).toFixed(1)} ms from the first to the last (busy ${percent(all / end)}).`,
    `Ceilings measured here: matmul ${(ceilings.operations / 1e9).toFixed(1)} GFLOP/s, copy ${(ceilings.bytes / 1e9).toFixed(1)} GB/s.`,
  ].join('\n')
}

/** The dispatches in the Trace Event Format, which Perfetto opens; times in microseconds. */
export function traceEvents(kernels: readonly KernelTime[]): { traceEvents: readonly Record<string, unknown>[] } {
  return {
    traceEvents: [
      { name: 'thread_name', ph: 'M', pid: 1, tid: 1, args: { name: 'GPU queue' } },
      ...kernels.map(({ label, start, nanoseconds, operations, bytes }) => ({
        name: label, cat: 'kernel', ph: 'X', pid: 1, tid: 1, ts: start / 1000, dur: nanoseconds / 1000, args: { operations, bytes },
      })),
    ],
  }
}
