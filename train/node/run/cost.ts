// What a run took, from its result, its metrics and its folder.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isFolder } from '../../../models/node/files.ts'
import type { Metrics } from './folder.ts'
import { finiteNumber, isRecord } from './json.ts'

/** What a model took; what is not known is left out. */
export interface Cost {
  readonly parameters?: { readonly total: number; readonly trainable?: number; readonly percent?: number }
  readonly seconds?: number
  /** Of a training run over all training steps, of an evaluation over its whole time. */
  readonly textsPerSecond?: number
  /** What was held on the GPU in the end, and at most. */
  readonly gpuBytes?: number
  readonly gpuPeakBytes?: number
  readonly savedBytes?: { readonly total: number; readonly what: string }
}

/** Where a run keeps what it trained. */
const TRAINED = ['adapter', 'base', 'model', 'baseline']

/** The cost of a finished run: `result` is what result.json holds, `lines` those of metrics.jsonl. */
export async function costOf(
  folder: string,
  result: Readonly<Record<string, unknown>>,
  lines: readonly Metrics[],
): Promise<Cost> {
  const { total, trainable, percent } = isRecord(result.parameters) ? result.parameters : {}
  const most = lines.reduce((peak, line) => Math.max(peak, finiteNumber(line.gpu_bytes) ?? 0), 0)
  const gpuPeakBytes = Math.max(most, finiteNumber(result.gpu_bytes) ?? 0)
  const seconds = finiteNumber(result.wall_seconds)
  const textsPerSecond = finiteNumber(result.examples_per_second)
  const savedBytes = await savedBytesOf(folder)
  return {
    ...(finiteNumber(total) !== undefined && {
      parameters: { total: Number(total), trainable: finiteNumber(trainable), percent: finiteNumber(percent) },
    }),
    ...(seconds !== undefined && { seconds }),
    ...(textsPerSecond !== undefined && { textsPerSecond }),
    ...(gpuPeakBytes > 0 && { gpuPeakBytes }),
    ...(savedBytes && { savedBytes }),
  }
}

/** The folders that hold what was trained, with the sizes of their files. */
async function savedBytesOf(folder: string): Promise<Cost['savedBytes']> {
  const found: string[] = []
  let total = 0
  for (const name of TRAINED) {
    if (!(await isFolder(join(folder, name)))) continue
    found.push(`${name}/`)
    for (const file of await readdir(join(folder, name))) total += (await stat(join(folder, name, file))).size
  }
  return found.length > 0 ? { total, what: found.join(', ') } : undefined
}
