// The package as npm packs it, in an empty project: its types, its programs, its size in a browser, and its command.
// `npm run check:package` checks what else publishers check (test/package/check.ts).
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bundleInto, esbuildSizes, programs } from './support/bundle.ts'
import { type Ended, PackedProject, manifest } from './support/packed.ts'

let project: PackedProject
beforeAll(async () => {
  project = await PackedProject.make()
})
afterAll(() => project.remove())

describe('the package', () => {
  test('has what its package.json names, and nothing else beside it', () => {
    for (const entry of Object.values(manifest.exports))
      for (const path of typeof entry === 'string' ? [entry] : Object.values(entry))
        expect(existsSync(join(project.installed, path)), path).toBe(true)
    expect(readdirSync(project.installed).sort()).toEqual(['LICENSE', 'README.md', 'dist', 'package.json'])
  })
})

describe('a program', () => {
  test('compiles with the strictest settings, without types of WebGPU, Node or the DOM', () => {
    expect(project.typeErrors('plain', { module: 'nodenext', target: 'es2022', lib: ['es2022'] })).toBe('')
  })

  test('runs: the examples of README, and one that uses each entry point', () => {
    const readme = project.run('plain/readme.js')
    expect(readme.status, readme.stderr).toBe(0)
    expect(readme.stdout).toMatch(/^Float32Array\(2\) \[ 0, 0 \]\n2\.5\n(\d\.\d+(e-\d+)?\n){9}$/)
    const model = project.run('plain/readme-model.js')
    expect(model.status, model.stderr).toBe(0)
    const losses = Array.from(model.stdout.matchAll(/^\d (\d\.\d{3})$/gm), ([, loss]) => Number(loss))
    expect(losses).toHaveLength(10)
    expect(losses[9]).toBeLessThan(0.35)
    expect(model.stdout).toMatch(/\n\d{3,4}\n$/)
    const consumer = project.run('plain/consumer.js')
    expect(consumer.status, consumer.stderr).toBe(0)
    expect(JSON.parse(consumer.stdout)).toEqual({
      losses: [2.5, 2.025, 1.64],
      cubes: [2, 16, 54],
      size: 2,
      ids: [2, 5, 3],
      schedule: 'linear',
      hasAdapter: true,
    })
  })

  test('computes in a browser, bundled with only what it uses', async () => {
    await bundleInto(project, 'page.ts', 'page')
    // Dawn stands in for the browser: what it offers is all that the program gets.
    project.write(
      'browser.js',
      `import { openAdapter } from './node_modules/tilegrad/dist/engine/node/adapters.js'
      Object.defineProperty(navigator, 'gpu', { value: (await openAdapter()).gpu })
      await import('./page/page.js')`,
    )
    const { status, stdout, stderr } = project.run('browser.js')
    expect(status, stderr).toBe(0)
    // The values [1, 2] and [3, 4], weighted by softmax([5, 11] / √2) and by softmax([11, 25] / √2).
    expect(JSON.parse(stdout)).toEqual([[2.972, 3.972, 3, 4], expect.any(Array), [7, 5], [0, 0, 0]])
  })

  test('begins, in a browser, with at most 80 kB of the engine, bundled by esbuild and gzipped', async () => {
    const [all, few] = await Promise.all(Object.values(programs).map(program => esbuildSizes(project, program)))
    expect(all.first).toBeLessThanOrEqual(80_000)
    expect(few.first).toBeLessThan(all.first - 2_000)
    // Attention's kernels are among what is loaded when it is first needed.
    expect(all.later).toBeGreaterThan(15_000)
    expect(few.later).toBeLessThan(all.later - 15_000)
  })
})

describe('the command', () => {
  const tilegrad = (...args: readonly string[]): Ended =>
    project.run(join(project.installed, manifest.bin.tilegrad), ...args)

  test('calls itself as npx does', () => {
    expect(tilegrad('--version')).toEqual({ status: 0, stdout: `${manifest.version}\n`, stderr: '' })
    expect(tilegrad('--help').stdout).toContain('Usage: npx tilegrad <command>')
    expect(tilegrad('predict', '--help').stdout).toContain('Usage: npx tilegrad predict')
    expect(tilegrad('predit').stderr).toBe('tilegrad: Unknown command "predit": did you mean predict?\n')
    expect(tilegrad('setup', '--help').stdout).toContain(`kept in ${join(project.cache, 'tilegrad')}`)
  })

  test('names the packages that are not installed with tilegrad and that a command needs', () => {
    const { status, stderr } = tilegrad('fine-tune', '--dry-run')
    expect(status).toBe(2)
    expect(stderr).toMatch(/^tilegrad: fine-tune needs packages that are not installed with tilegrad: npm install /)
    expect(stderr).toContain(` cli-progress@${manifest.peerDependencies['cli-progress']} echarts@`)
    expect(tilegrad('fine-tune', '--help').status).toBe(0)
  })

  test('brings the small model and the reviews, and resolves a run of them', () => {
    project.add(manifest.peerDependencies)
    const ended = tilegrad('fine-tune', '--dry-run', '--json', '--limit-train', '32')
    expect(ended.status, ended.stderr).toBe(0)
    expect(JSON.parse(ended.stdout)).toMatchObject({ data: { train: { rows: 32 } } })
    expect(existsSync(join(project.path, 'runs'))).toBe(false)
  })
})
