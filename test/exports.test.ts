// What the library exports, called as a program in JavaScript may call it by mistake: with nothing, or with one argument
// that is of no use. Each call works or throws a UserError, at once.
import { runInThisContext } from 'node:vm'
import { afterAll, describe, expect, test } from 'vitest'
import * as engine from '../engine/node/index.ts'

afterAll(async () => (await engine.currentDevice()).close())

/** A call that takes longer, in milliseconds, is in a loop that does not end. */
const ENDLESS = 5000

/** What is not called, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  Device: 'openDevice makes it',
  DeviceLost: 'it takes a message',
  NonFinite: 'it takes a message',
  UserError: 'it takes a message',
  setDeviceProvider: 'it changes what all tests run on',
  useDevice: 'it changes what all tests run on',
}

const ARGUMENTS: readonly (readonly [name: string, args: readonly unknown[]])[] = [
  ['', []],
  ['null', [null]],
  ['NaN', [NaN]],
  ['Infinity', [Infinity]],
  ['-1', [-1]],
  ['0.5', [0.5]],
  ["'x'", ['x']],
  ['{}', [{}]],
  ['[]', [[]]],
  ['[undefined]', [[undefined]]],
  ['() => 0', [() => 0]],
  ['ones([2, 3])', [engine.ones([2, 3])]],
]

type Callable = (...args: readonly unknown[]) => unknown

function callable(value: unknown): Callable | undefined {
  if (typeof value !== 'function') return undefined
  const isClass = /^class\b/.test(Function.prototype.toString.call(value))
  return (...args) => (isClass ? Reflect.construct(value, args) : Reflect.apply(value, undefined, args)) as unknown
}

const shared = globalThis as { calledByTest?: () => unknown }

/** The error of a call, thrown or rejected; undefined if it works. */
async function errorOf(call: () => unknown): Promise<unknown> {
  shared.calledByTest = call
  try {
    await runInThisContext('calledByTest()', { timeout: ENDLESS })
    return undefined
  } catch (error) {
    return error
  } finally {
    delete shared.calledByTest
  }
}

async function check(calls: Readonly<Record<string, unknown>>): Promise<void> {
  const bare: string[] = []
  for (const [name, value] of Object.entries(calls)) {
    const call = name in EXCEPTIONS ? undefined : callable(value)
    if (!call) continue
    for (const [shown, args] of ARGUMENTS) {
      const error = await errorOf(() => call(...args))
      if (error !== undefined && !(error instanceof engine.UserError)) bare.push(`${name}(${shown}): ${String(error)}`)
    }
  }
  expect(bare).toEqual([])
}

const m = engine.ones([2, 3])
const methods = Object.entries(Object.getOwnPropertyDescriptors(engine.Tensor.prototype)).flatMap(
  ([name, { value }]: [string, { value?: unknown }]) =>
    typeof value === 'function' && name !== 'constructor'
      ? [[name, (...args: readonly unknown[]) => Reflect.apply(value, m, args) as unknown] as const]
      : [],
)

describe('a call with nothing, or with one argument that is of no use, works or throws a UserError', () => {
  test('tilegrad', () => check(engine))
  test('methods of tensors', () => check(Object.fromEntries(methods)))
})
