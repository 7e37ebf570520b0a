// What a run's folder is read from when the run goes on, and the cache of measured kernels.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { questionKey } from '../../../engine/tune.ts'
import { parseOptions } from '../../../train/node/cli/options.ts'
import { AnswerFile } from '../../../train/node/run/answers.ts'
import { Checkpoints } from '../../../train/node/run/checkpoints.ts'
import { Run, openRun } from '../../../train/node/run/folder.ts'
import { changeJson } from '../mutate.ts'
import type { Target } from '../target.ts'

const SOFTMAX = { kernel: 'softmax', sizes: { rows: 512 }, options: {} }

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const changeTree: NonNullable<Target['mutate']> = (input, random) =>
  encode(changeJson(new TextDecoder().decode(input), random))
/** Changes one line, as JSON. */
const changeLine: NonNullable<Target['mutate']> = (input, random) => {
  const lines = new TextDecoder().decode(input).split('\n')
  const at = Math.floor(random() * lines.length)
  lines[at] = changeJson(lines[at], random)
  return encode(lines.join('\n'))
}
const linesOf = (values: readonly unknown[]): Uint8Array =>
  encode(values.map(value => `${JSON.stringify(value)}\n`).join(''))

async function put(folder: string, name: string, input: Uint8Array): Promise<string> {
  const path = join(folder, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, input)
  return path
}

export const runTargets: readonly Target[] = [
  {
    name: 'run/config.json',
    seeds: async () => [
      encode(
        JSON.stringify(
          {
            version: '0.1.0',
            arguments: [
              '--data',
              'reviews.csv',
              '--model',
              'tiny',
              '--lr',
              '1e-3',
              '--epochs',
              '2',
              '--lora-targets',
              'query,value',
            ],
            options: { seed: 42 },
            adapter: { name: 'llvmpipe' },
          },
          undefined,
          2,
        ),
      ),
    ],
    mutate: changeTree,
    async run(input, folder) {
      await put(folder, 'config.json', input)
      const { config } = await openRun(folder)
      if (Array.isArray(config.arguments)) parseOptions(config.arguments.map(String))
    },
  },
  {
    name: 'run/position.json',
    seeds: async () => [
      encode(
        JSON.stringify(
          { step: 120, epoch: 1, stepInEpoch: 20, batches: 240, best: { epoch: 1, accuracy: 0.9, loss: 0.3 } },
          undefined,
          2,
        ),
      ),
      encode(JSON.stringify({ step: 0, epoch: 0, stepInEpoch: 0, batches: 0, best: null })),
    ],
    mutate: changeTree,
    async run(input, folder) {
      await put(folder, 'step-000120/position.json', input)
      await new Checkpoints(folder).latest()
    },
  },
  {
    name: 'run/metrics.jsonl',
    seeds: async () => [
      linesOf([
        { step: 1, epoch: 0, loss: 0.7, lr: 1e-4, grad_norm: 1.5, examples_per_second: 10 },
        { step: 2, epoch: 0, loss: 0.6, lr: 2e-4, grad_norm: 1.1 },
        { step: 2, epoch: 1, split: 'validation', loss: 0.5, accuracy: 0.8 },
      ]),
    ],
    mutate: changeLine,
    async run(input, folder) {
      await put(folder, 'metrics.jsonl', input)
      const run = new Run(folder, {})
      run.readMetrics()
      await run.cutMetrics(1)
      run.readMetrics()
    },
  },
  {
    name: 'kernels cache',
    seeds: async () => [
      linesOf([
        { kernel: 'matmul', sizes: { m: 64, n: 64 }, options: { bias: true }, candidate: { tile: 8 } },
        { ...SOFTMAX, candidate: 'rows 4' },
      ]),
    ],
    mutate: changeLine,
    async run(input, folder) {
      const file = new AnswerFile(await put(folder, 'kernels.jsonl', input))
      await file.read(() => {})
      await file.append({ ...SOFTMAX, candidate: 'rows 8' })
      if ((await file.read(() => {})).get(questionKey(SOFTMAX))?.candidate !== 'rows 8')
        throw new Error('An answer was lost')
    },
  },
]
