// The package as it is installed: built, below a node_modules folder, where Node strips no types.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const packageSchema = z.object({
  version: z.string(),
  bin: z.object({ tilegrad: z.string() }),
  files: z.array(z.string()),
  dependencies: z.record(z.string(), z.string()),
})
const { version, bin, files, dependencies } = packageSchema.parse(
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')),
)

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tilegrad-package-'))
  const installed = join(folder, 'node_modules/tilegrad')
  mkdirSync(installed, { recursive: true })
  cpSync(join(root, 'package.json'), join(installed, 'package.json'))
  execFileSync(process.execPath, [join(root, 'train/node/build.mjs'), join(installed, 'dist')])
  // Without a GPU driver the tests' adapter is the one that the set-up fetched.
  const cache = join(root, '.cache')
  if (existsSync(cache)) symlinkSync(cache, join(installed, 'dist/.cache'))
  // Of the repository's packages only those that come with an installation.
  for (const name of Object.keys(dependencies)) {
    const target = join(folder, 'node_modules', name)
    // A scope is a folder of its own.
    mkdirSync(dirname(target), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), target)
  }
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

function tilegrad(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(folder, 'node_modules/tilegrad', bin.tilegrad), ...args],
    { cwd: folder, encoding: 'utf8' },
  )
  return { status, stdout, stderr }
}

test('has the command, which calls itself as npx does', () => {
  expect(files).toEqual(['dist'])
  expect(tilegrad('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
  expect(tilegrad('--help').stdout).toContain('Usage: npx tilegrad <command>')
  expect(tilegrad('predict', '--help').stdout).toContain('Usage: npx tilegrad predict')
  expect(tilegrad('predit').stderr).toBe('tilegrad: Unknown command "predit": did you mean predict?\n')
})

/** What a program sees that is beside the package. */
function evaluate(program: string): unknown {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: folder,
    encoding: 'utf8',
  })
  expect(status, stderr).toBe(0)
  return JSON.parse(stdout)
}

test('has entry points, each of which computes on its own under Node', () => {
  expect(
    evaluate(`
      const { Linear, forwardContext, initialise } = await import('tilegrad/nn')
      const linear = new Linear('linear', 3, 2, 0.02)
      await initialise(linear.parameters(), 1)
      const { tensor, scalar, currentDevice } = await import('tilegrad')
      const context = forwardContext({ training: false, seed: 1, step: scalar(0, 'u32') })
      const { shape } = linear.forward(tensor([[1, 2, 3]]), context)
      const { createModel } = await import('tilegrad/models')
      const { Trainer } = await import('tilegrad/train')
      const { listAdapters } = await import('tilegrad/node')
      ;(await currentDevice()).close()
      console.log(JSON.stringify([shape, createModel.name, Trainer.name, listAdapters.name]))
    `),
  ).toEqual([[1, 2], 'createModel', 'Trainer', 'listAdapters'])
})

test('takes an op of its user, with its gradient', () => {
  expect(
    evaluate(`
      import { currentDevice, grad, tensor } from 'tilegrad'
      import { defineOp } from 'tilegrad/op'
      const cube = defineOp({
        name: 'test.cube',
        kind: 'elementwise',
        infer: ([x]) => [x],
        wgsl: ([x]) => \`(\${x} * \${x} * \${x})\`,
        scalar: ([x]) => x ** 3,
        gradient: ({ inputs: [x], upstream: [dy] }) => [dy.mul(x.square()).mul(3)],
      })
      const x = tensor([1, 2, 3])
      const [y] = cube([x])
      const [dx] = grad(y.sum(), [x])
      console.log(JSON.stringify([[...await y.data()], [...await dx.data()]]))
      ;(await currentDevice()).close()
    `),
  ).toEqual([
    [1, 8, 27],
    [3, 12, 27],
  ])
})

test('brings the small model and the reviews, and resolves a run of them', () => {
  const ended = tilegrad('fine-tune', '--dry-run', '--json', '--limit-train', '32')
  expect(ended.status, ended.stderr).toBe(0)
  expect(JSON.parse(ended.stdout)).toMatchObject({ data: { train: { rows: 32 } } })
  expect(existsSync(join(folder, 'runs'))).toBe(false)
})
