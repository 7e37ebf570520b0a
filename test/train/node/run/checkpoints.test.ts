// Checkpoints on disk: one that was damaged in any way is left for the one before it, and none is trusted that was not
// read back.
import { appendFile, cp, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Variable, currentDevice, variable } from '../../../../engine/node/index.ts'
import type { StateEntry } from '../../../../train/state.ts'
import type { Position, RunShape } from '../../../../train/checkpoint-store.ts'
import { Checkpoints, loadKept } from '../../../../train/node/run/checkpoints.ts'

let root: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tilegrad-checkpoints-'))
})
afterAll(async () => {
  await rm(root, { recursive: true })
  ;(await currentDevice()).close()
})

/** 3 epochs of 5 steps, of 2 batches each. */
const SHAPE: RunShape = { batches: [10, 10, 10], accumulate: 2 }
/** Only the best values are kept. */
const ONE = { place: 0, most: 1 }
const at = (step: number, changes: Partial<Position> = {}): Position => {
  const epoch = Math.floor(step / 5)
  return { step, epoch, stepInEpoch: step % 5, batches: epoch * 10 + (step % 5) * 2, best: null, ...changes }
}

async function entryOf(
  value: number,
  made: Variable = variable({ shape: [8], dtype: 'f32' }, 'w'),
): Promise<StateEntry> {
  await made.write(new Float32Array(8).fill(value))
  return { name: 'w', variable: made }
}

/** Checkpoints of steps 3 and 6, the second with values that evaluated best; `w` is the step. */
async function two(): Promise<string> {
  const folder = join(root, `run${count++}`)
  const checkpoints = new Checkpoints(folder)
  await checkpoints.save(at(3), [await entryOf(3)])
  await checkpoints.saveBest([await entryOf(5)], ONE)
  await checkpoints.save(at(6, { best: { step: 5, epoch: 1, score: 0.5, loss: 0.7 } }), [await entryOf(6)])
  return folder
}

async function valueAt(folder: string, position: Position | undefined): Promise<number | undefined> {
  if (!position) return undefined
  const entry = await entryOf(0)
  await new Checkpoints(folder).load(position, [entry])
  return (await entry.variable.read())[0]
}

test('the last one is found and put back, its best values too', async () => {
  const folder = await two()
  const checkpoints = new Checkpoints(folder)
  const { position, damaged } = await checkpoints.find(SHAPE)
  expect(damaged).toEqual([])
  expect(await valueAt(folder, position)).toBe(6)
  const entry = await entryOf(0)
  if (position) await checkpoints.load(position, [entry])
  await checkpoints.loadBest([entry])
  expect((await entry.variable.read())[0]).toBe(5)
})

test.for(['step-000006/state.safetensors', 'step-000006/position.json', 'best'])(
  'any byte of %s that changes, or is missing, is noticed',
  async which => {
    const folder = await two()
    const path = join(
      folder,
      which === 'best' ? ((await readdir(folder)).find(name => name.startsWith('best-')) ?? '') : which,
    )
    const whole = await readFile(path)
    const leftFor3 = async (): Promise<void> => {
      const { position, damaged } = await new Checkpoints(folder).find(SHAPE)
      expect({ step: position?.step, damaged: damaged.map(({ step }) => step) }).toEqual({ step: 3, damaged: [6] })
      expect(damaged[0].reason.length).toBeGreaterThan(10)
      expect(await valueAt(folder, position)).toBe(3)
    }
    // JSON's own spaces carry nothing, so what is changed is a letter or a digit of it.
    const places = which.endsWith('.json')
      ? [...whole.keys()].filter(i => /[\w.]/.test(String.fromCharCode(whole[i])))
      : [...whole.keys()]
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), fc.integer({ min: 0, max: 7 }), async (place, bit) => {
        const changed = Buffer.from(whole)
        changed[place] ^= 1 << bit
        await writeFile(path, changed)
        // `e` and `E` of an exponent are one number; a name or a digit in another case is not what was written.
        if (which.endsWith('.json') && JSON.stringify(readJsonOr(changed)) === JSON.stringify(readJsonOr(whole))) return
        // A position without its checksum is of an earlier version.
        if (
          which.endsWith('.json') &&
          !/"checksum"/.test(changed.toString('latin1')) &&
          readJsonOr(changed) !== undefined
        )
          return
        await leftFor3()
      }),
      { numRuns: 20 },
    )
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - (which.endsWith('.json') ? 3 : 1)), async length => {
        await writeFile(path, whole)
        await truncate(path, length)
        await leftFor3()
      }),
      { numRuns: 8 },
    )
    if (!which.endsWith('.json')) {
      await writeFile(path, whole)
      await appendFile(path, '\0')
      await leftFor3()
    }
    await rm(path)
    await leftFor3()
  },
)

const readJsonOr = (bytes: Buffer): unknown => {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown
  } catch {
    return undefined
  }
}

test.for([
  ['beyond the end', at(16)],
  ['steps after the last epoch', at(15, { stepInEpoch: 1, step: 16, batches: 32 })],
  ['another epoch', at(6, { epoch: 2 })],
  ['too few batches', at(6, { batches: 11 })],
  ['more skipped than done', at(6, { skipped: 7 })],
  ['a best epoch that is to come', at(6, { best: { step: 7, epoch: 2, score: 0.5, loss: 1 } })],
] as const)('a position outside of the run is damage: %s', async ([, position]) => {
  const folder = join(root, `run${count++}`)
  const checkpoints = new Checkpoints(folder)
  await checkpoints.save(at(3), [await entryOf(3)])
  if (position.best) await checkpoints.saveBest([await entryOf(5)], ONE)
  await checkpoints.save(position, [await entryOf(6)])
  const { position: found, damaged } = await new Checkpoints(folder).find(SHAPE)
  expect({ step: found?.step, damaged: damaged.map(({ step }) => step) }).toEqual({ step: 3, damaged: [position.step] })
})

test.for([
  ['negative', { batches: -1 }],
  ['fractional', { batches: 1.5 }],
  ['not a number', { epoch: '1' }],
] as const)('a position that is %s is damage, whatever its checksum', async ([, change]) => {
  const folder = await two()
  const path = join(folder, 'step-000006/position.json')
  await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), ...change }))
  expect((await new Checkpoints(folder).find(SHAPE)).position?.step).toBe(3)
})

test('of every position that a run comes to none is refused', async () => {
  const folder = join(root, `run${count++}`)
  for (let step = 0; step <= 15; step++) {
    await new Checkpoints(folder).save(at(step), [await entryOf(step)])
    expect((await new Checkpoints(folder).find(SHAPE)).position?.step).toBe(step)
  }
})

test('one that does not hold what was written to it is not kept, and none before it is removed', async () => {
  const folder = join(root, `run${count++}`)
  const checkpoints = new Checkpoints(folder)
  for (const step of [1, 2]) await checkpoints.save(at(step), [await entryOf(step)])
  /** A disk that changes the beginning of a file while the rest is written. */
  class Changing extends Variable {
    override async read(...range: Parameters<Variable['read']>): ReturnType<Variable['read']> {
      const making = join(folder, 'partial')
      for (const name of readdirSync(making)) writeFileSync(join(making, name), 'x', { flag: 'r+' })
      return super.read(...range)
    }
  }
  const entry = await entryOf(3, new Changing({ shape: [8], dtype: 'f32' }, 'w'))
  await expect(checkpoints.save(at(3), [entry])).rejects.toThrow('does not hold what was written to it')
  expect((await readdir(folder)).filter(name => name.startsWith('step-')).sort()).toEqual([
    'step-000001',
    'step-000002',
  ])
  await checkpoints.save(at(3), [await entryOf(3)])
  expect((await readdir(folder)).sort()).toEqual(['step-000002', 'step-000003'])
})

test('best values stay as long as a checkpoint that is kept names them', async () => {
  const folder = join(root, `run${count++}`)
  const checkpoints = new Checkpoints(folder)
  const best = (epoch: number) => ({ best: { step: 5 * epoch, epoch, score: 0.5, loss: 0.7 } })
  const kept = async (): Promise<number> => (await readdir(folder)).filter(name => name.startsWith('best-')).length
  await checkpoints.saveBest([await entryOf(1)], ONE)
  await checkpoints.save(at(5, best(1)), [await entryOf(5)])
  await checkpoints.saveBest([await entryOf(2)], ONE)
  expect(await kept()).toBe(2)
  await checkpoints.save(at(10, best(2)), [await entryOf(10)])
  expect(await kept(), 'the one before is whole, too').toBe(2)
  await checkpoints.save(at(11, best(2)), [await entryOf(11)])
  expect(await kept()).toBe(1)
})

/**
 * A run that keeps the best two: `scores` by epoch, each evaluation's values being its epoch, as a trainer ranks them.
 */
async function ranked(scores: readonly number[]): Promise<{ folder: string; checkpoints: Checkpoints }> {
  const folder = join(root, `run${count++}`)
  const checkpoints = new Checkpoints(folder)
  let kept: { step: number; epoch: number; score: number; loss: number }[] = []
  for (const [i, score] of scores.entries()) {
    const epoch = i + 1
    const evaluation = { step: 5 * epoch, epoch, score, loss: 0.7 }
    kept = [...kept, evaluation].sort((a, b) => b.score - a.score || a.step - b.step).slice(0, 2)
    const place = kept.indexOf(evaluation)
    if (place >= 0) await checkpoints.saveBest([await entryOf(epoch)], { place, most: 2 })
    const [best, ...runnersUp] = kept
    await checkpoints.save(at(5 * epoch, { best, ...(runnersUp.length > 0 && { runnersUp }) }), [await entryOf(epoch)])
  }
  return { folder, checkpoints }
}

const bestFilesIn = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).filter(name => name.startsWith('best-')).sort()

test.for([
  [
    [0.5, 0.7, 0.6],
    [2, 3],
  ],
  [
    [0.9, 0.5, 0.6],
    [1, 3],
  ],
  [
    [0.5, 0.6, 0.7],
    [3, 2],
  ],
  [
    [0.7, 0.6, 0.1],
    [1, 2],
  ],
] as const)('of evaluations of %j the best two are kept, in order', async ([scores, epochs]) => {
  const { folder, checkpoints } = await ranked(scores)
  const valueIn = async (file: string): Promise<number> => {
    const entry = await entryOf(0)
    await loadKept(join(folder, file), [entry])
    return (await entry.variable.read())[0]
  }
  expect(checkpoints.best.map(({ epoch }) => epoch)).toEqual(epochs)
  expect(await Promise.all(checkpoints.best.map(({ file }) => valueIn(file)))).toEqual(epochs)
  const again = new Checkpoints(folder)
  const { position } = await again.find(SHAPE)
  if (!position) throw new Error('no checkpoint was found')
  await again.load(position, [await entryOf(0)])
  expect(again.best).toEqual(checkpoints.best)
  // The checkpoint before the last one is whole, too: what it names is there.
  const { position: before } = await (async () => {
    await rm(join(folder, `step-0000${position.step}`), { recursive: true })
    return new Checkpoints(folder).find(SHAPE)
  })()
  expect(before?.step).toBe(position.step - 5)
})

test('values that are displaced are deleted once neither of the last two checkpoints names them', async () => {
  const { folder, checkpoints } = await ranked([0.5, 0.6])
  const [second, first] = checkpoints.best.map(({ file }) => file)
  const evaluation = (epoch: number, score: number) => ({ step: 5 * epoch, epoch, score, loss: 0.7 })
  await checkpoints.saveBest([await entryOf(3)], { place: 0, most: 2 })
  const position = at(15, { best: evaluation(3, 0.7), runnersUp: [evaluation(2, 0.6)] })
  await checkpoints.save(position, [await entryOf(3)])
  expect(await bestFilesIn(folder), 'the one before names all').toHaveLength(3)
  await checkpoints.save({ ...position, step: 16, stepInEpoch: 1 }, [await entryOf(3)])
  const left = await bestFilesIn(folder)
  expect(left).toHaveLength(2)
  expect(left).toContain(second)
  expect(left).not.toContain(first)
})

test('any damage of values that are second best is damage, too', async () => {
  const { folder, checkpoints } = await ranked([0.5, 0.6])
  await truncate(join(folder, checkpoints.best[1].file), 100)
  const { position, damaged } = await new Checkpoints(folder).find(SHAPE)
  expect({ position, steps: damaged.map(({ step }) => step) }).toEqual({ position: undefined, steps: [10, 5] })
  expect(damaged[0].reason).toContain(checkpoints.best[1].file)
})

test('what a killed run had no time to delete, and values that no checkpoint names yet, are deleted on resuming', async () => {
  const { folder, checkpoints } = await ranked([0.5, 0.6])
  const there = (await readdir(folder)).sort()
  await checkpoints.saveBest([await entryOf(3)], { place: 0, most: 2 })
  await cp(join(folder, 'step-000005'), join(folder, 'step-000001'), { recursive: true })
  const resumed = new Checkpoints(folder)
  await resumed.discard([])
  expect((await readdir(folder)).sort()).toEqual(there)
  expect((await resumed.find(SHAPE)).position?.step).toBe(10)
})

test('the same position is the same bytes, in whatever order it was put together', async () => {
  const bytes = async (position: Position): Promise<string> => {
    const folder = join(root, `run${count++}`)
    await new Checkpoints(folder).save(position, [await entryOf(1)])
    return readFile(join(folder, 'step-000003/position.json'), 'utf8')
  }
  const { step, epoch, stepInEpoch, batches, best } = at(3)
  expect(await bytes({ step, epoch, stepInEpoch, batches, stale: 1, skipped: 2, best })).toBe(
    await bytes({ best, skipped: 2, batches, stepInEpoch, epoch, stale: 1, step }),
  )
})

test('one of an earlier version, without a checksum, is refused by name', async () => {
  const folder = await two()
  const path = join(folder, 'step-000006/position.json')
  await writeFile(path, JSON.stringify(at(6)))
  await expect(new Checkpoints(folder).find(SHAPE)).rejects.toThrow(
    `${path} has no checksum: an earlier version of tilegrad wrote it`,
  )
})

test('nothing is written where the folder of the run is gone', async () => {
  const folder = join(root, 'gone', 'checkpoints')
  const gone = new Error('gone')
  const checkpoints = new Checkpoints(folder, () => {
    throw gone
  })
  await expect(checkpoints.save(at(3), [await entryOf(3)])).rejects.toThrow(gone)
  await expect(checkpoints.saveBest([await entryOf(3)], ONE)).rejects.toThrow(gone)
  await expect(new Checkpoints(folder).save(at(3), [await entryOf(3)])).rejects.toThrow('ENOENT')
  expect(await readdir(root)).not.toContain('gone')
})
