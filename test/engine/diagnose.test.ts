// Compiled functions find the kernel that NaN or ∞ came from, and change nothing while they look.
import { afterAll, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, tensor, variable } from '../../engine/node/index.ts'
import { adamw } from '../../engine/ops/adamw.ts'

afterAll(async () => (await currentDevice()).close())

const column = (n: number, value: number): Tensor => tensor(new Float32Array(n).fill(value), [n, 1])

test('finite results have no cause, whatever earlier runs left in memory', async () => {
  // Leaves NaN in the scratch memory that the next plan takes.
  const nan = compile((x: Tensor) => ({
    y: x
      .sub(x)
      .div(x.sub(x))
      .sum(0)
      .mul(x)
      .matmul(x.reshape([1, -1])),
  }))
  await nan(column(64, 1))
  const fine = compile((x: Tensor) => ({
    y: x
      .matmul(x.reshape([1, -1]))
      .softmax()
      .matmul(x),
  }))
  expect(await fine.diagnose(column(63, 1))).toBeUndefined()
})

test('the first kernel of a chain is named by its label, its numbers and the variables that it reads', async () => {
  const w = variable({ shape: [4, 4], dtype: 'f32' }, 'layer.weight')
  await w.write(new Float32Array(16).fill(1e30))
  const fn = compile((x: Tensor) => {
    const large = x.matmul(w.tensor) // 4e30
    const over = large.matmul(large.reshape([4, -1])) // ∞
    return { y: over.softmax().sum() } // NaN
  })
  const x = tensor(new Float32Array(16).fill(1), [4, 4])
  expect(await (await fn(x)).y.item()).toBeNaN()
  const labels = await fn.kernels(x)
  expect(labels.filter(label => label.startsWith('matmul')).length).toBe(2)
  const second = labels.findLastIndex(label => label.startsWith('matmul'))
  expect(await fn.diagnose(x)).toEqual({
    kind: 'kernel',
    label: labels[second],
    dispatch: second + 1,
    dispatches: labels.length,
    numbers: '∞',
    reads: [{ variable: 'layer.weight', element: 0 }],
  })
})

test('−∞ in a mask, or computed and then turned into zeros, is not reported as the cause', async () => {
  const fn = compile((scores: Tensor, mask: Tensor, x: Tensor) => {
    const masked = mask.equal(0).where(-Infinity, scores)
    const rows = masked.softmax()
    return {
      y: rows
        .matmul(x)
        .square()
        .matmul(x.reshape([1, -1])),
    }
  })
  const scores = tensor(new Float32Array(16).fill(1), [4, 4])
  const mask = tensor(
    Int32Array.from({ length: 16 }, (_, i) => i % 2),
    [4, 4],
  )
  expect(await fn.diagnose(scores, mask, column(4, 1))).toBeUndefined()
  const found = await fn.diagnose(scores, mask, column(4, 3e19))
  expect(found).toMatchObject({ kind: 'kernel', numbers: '∞' })
  expect(found?.kind === 'kernel' && found.dispatch).toBeGreaterThan(1)
})

test('a variable and an input that held such numbers before are named with the element', async () => {
  const w = variable({ shape: [300, 2], dtype: 'f32' }, 'table')
  await w.write(Float32Array.from({ length: 600 }, (_, i) => (i === 417 || i === 500 ? NaN : 0)))
  const fn = compile((x: Tensor, y: Tensor) => ({ y: x.matmul(w.tensor).add(y).sum() }))
  const [x, good] = [tensor(new Float32Array(900), [3, 300]), tensor([1, 2])]
  expect(await fn.diagnose(x, good)).toEqual({
    kind: 'variable',
    place: { variable: 'table', element: 417 },
    numbers: 'NaN',
  })
  await w.write(new Float32Array(600))
  expect(await fn.diagnose(x, tensor([1, -Infinity]))).toEqual({
    kind: 'input',
    position: 1,
    element: 1,
    numbers: '-∞',
  })
  expect(await fn.diagnose(x, good)).toBeUndefined()
})

test('half precision overflows where it is stored', async ({ skip }) => {
  const { traits, info } = await currentDevice()
  skip(!traits.f16, `${info.name} has no shader-f16`)
  const fn = compile((x: Tensor) => {
    const half = x.mul(2).cast('f16')
    return { y: half.matmul(half.transpose()).cast('f32').sum() }
  })
  // Of an odd number of halves the last word's other half is nobody's.
  const x = tensor(Float32Array.of(1, 2, 40_000), [1, 3])
  expect(await fn.diagnose(x)).toMatchObject({ kind: 'kernel', dispatch: 1, numbers: '∞' })
  expect(await fn.diagnose(tensor(Float32Array.of(1, 2, 4), [1, 3]))).toBeUndefined()
})

test('a diagnosis changes no variable, assigned or updated in place', async () => {
  const [p, m, v] = ['p', 'm', 'v'].map(name => variable({ shape: [64], dtype: 'f32' }, name))
  const count = variable({ shape: [], dtype: 'f32' }, 'count')
  const fn = compile((gradient: Tensor, hyper: Tensor) => {
    const [p1, m1, v1] = adamw(p.tensor, m.tensor, v.tensor, gradient, hyper, tensor(1))
    p.assign(p1)
    m.assign(m1)
    v.assign(v1)
    count.assign(count.tensor.add(1))
    return { loss: gradient.sum().mul(1e30).mul(1e30) }
  })
  const args = [tensor(new Float32Array(64).fill(-1)), tensor([0.1, 0.1, 0.9, 0.1, 1e-8, 0, 0.1, 0.1])] as const
  expect(await fn.diagnose(...args)).toMatchObject({ kind: 'kernel' })
  for (const one of [p, m, v, count])
    expect(
      Array.from(await one.read()).every(x => x === 0),
      one.name,
    ).toBe(true)
  await fn(...args)
  for (const one of [p, m, v, count])
    expect(
      Array.from(await one.read()).every(x => x !== 0),
      one.name,
    ).toBe(true)
})
