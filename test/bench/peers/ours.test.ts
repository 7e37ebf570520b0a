// The work that is compared with peers, as tilegrad does it: every problem computes, at small sizes, without the peers.
import { afterAll, expect, test } from 'vitest'
import type { Answers } from '../../../bench/peers/engine.ts'
import { load } from '../../../bench/peers/ours.ts'
import { PROBLEMS, type Problem } from '../../../bench/peers/problems.ts'
import { currentDevice } from '../../../engine/node/index.ts'

afterAll(async () => (await currentDevice()).close())

const layer = { batch: 2, sequence: 8, hidden: 16, heads: 2, intermediate: 32 }
const gpt = { ...layer, layers: 1, vocabulary: 32, lr: 1e-3 }

/** The same work, small. */
function small(problem: Problem): Problem {
  switch (problem.kind) {
    case 'matmul':
      return { ...problem, m: 8, k: 8, n: 8 }
    case 'softmax':
    case 'layer norm':
    case 'gelu':
    case 'argmax':
    case 'cumsum':
      return { ...problem, rows: 4, columns: 16 }
    case 'top k':
      return { ...problem, rows: 4, columns: 16, k: 3 }
    case 'conv2d':
      return { ...problem, batch: 2, channels: 4, outputs: 4, size: 6 }
    case 'causal attention':
      return { ...problem, batch: 2, sequence: 8, heads: 2, headSize: 8 }
    case 'eager':
      return { ...problem, shape: [4, 4], calls: 2 }
    case 'encoder layer':
      return { ...problem, config: layer }
    case 'lora step':
      return { ...problem, config: { ...gpt, positions: 8, rank: 2, alpha: 4 } }
    case 'gpt step':
      return { ...problem, config: gpt }
  }
}

async function twice(problem: Problem): Promise<Answers> {
  const loaded = await load(small(problem))
  await loaded.run()
  await loaded.run()
  const answers = await loaded.answers()
  loaded.dispose()
  return answers
}

test.each(Object.entries(PROBLEMS))('%s', async (_, problem) => {
  const answers = Object.entries(await twice(problem))
  expect(answers.length).toBeGreaterThan(0)
  for (const [name, values] of answers) {
    expect(values.length, name).toBeGreaterThan(0)
    expect(values.every(Number.isFinite), name).toBe(true)
  }
})

test('a step begins near the loss of a uniform guess', async () => {
  const [bert] = (await twice(PROBLEMS['LoRA step'])).losses
  expect(Math.abs(bert - Math.log(2))).toBeLessThan(0.1)
  const [first, second] = (await twice(PROBLEMS['GPT step'])).losses
  expect(Math.abs(first - Math.log(gpt.vocabulary))).toBeLessThan(0.1)
  expect(second).not.toBe(first)
})
