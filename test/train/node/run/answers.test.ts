// Measured kernels in the user's cache: several processes add to one file at once and nothing is lost, whatever state
// the file is in and however large it is.
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Answer } from '../../../../engine/tune.ts'
import { AnswerFile } from '../../../../train/node/run/answers.ts'

const MODULE = new URL('../../../../train/node/run/answers.ts', import.meta.url).href

let folder = ''
let path = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-answers-'))
  path = join(folder, 'cache', 'llvmpipe.jsonl')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const nothingSaid = (sentence: string): never => {
  throw new Error(sentence)
}
const answer = (kernel: string, candidate = 'c'): Answer => ({
  kernel,
  sizes: { rows: 3 },
  options: { bias: true },
  candidate,
})
const record = (kernel: string, candidate?: string): string => `${JSON.stringify(answer(kernel, candidate))}\n`
const kernelsOf = (answers: ReadonlyMap<string, Answer>): string[] => [...answers.values()].map(({ kernel }) => kernel)
const records = (count: number, make: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => make(i)).join('')

/** Runs a program with `file`, an AnswerFile, in a process of its own. */
function run(body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const program = `import { AnswerFile } from ${JSON.stringify(MODULE)}
      const file = new AnswerFile(${JSON.stringify(path)})
      ${body}`
    const parameters = ['--input-type=module', '-e', program]
    const child = spawn(process.execPath, parameters, { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', text => {
      said += text
    })
    child.on('error', reject).on('close', status => {
      if (status === 0 && said === '') resolve()
      else reject(new Error(`${status} ${said}`))
    })
  })
}

test('processes that add answers at once, while others write the file anew, lose none of them', async () => {
  const writers = Array.from({ length: 3 }, (_, writer) =>
    run(`
    for (let i = 0; i < 300; i++) await file.append({ kernel: 'question ' + ${writer} + '.' + i, sizes: {}, options: {}, candidate: 'candidate '.repeat(20) + i })`),
  )
  let done = false
  const all = Promise.all(writers).finally(() => {
    done = true
  })
  const file = new AnswerFile(path)
  let written = 0
  const busy = Array.from({ length: 2 }, async () => {
    for (; !done; written++) await file.compact()
  })
  await all
  await Promise.all(busy)
  expect(written).toBeGreaterThan(10)
  const answers = await file.read(nothingSaid)
  expect(answers.size).toBe(900)
  for (const { kernel, candidate } of answers.values())
    expect(candidate).toBe('candidate '.repeat(20) + kernel.split('.')[1])
  expect(await readdir(join(folder, 'cache'))).toEqual(['llvmpipe.jsonl'])
}, 60_000)

test('an answer costs as much in a large file as in a small one: it is added at the end', async () => {
  await mkdir(join(folder, 'cache'))
  await writeFile(
    path,
    records(20_000, i => record(`question ${i}`, 'candidate '.repeat(20))),
  )
  const file = new AnswerFile(path)
  expect((await file.read(nothingSaid)).size).toBe(20_000)
  const before = await stat(path)
  for (let i = 0; i < 100; i++) await file.append(answer(`new ${i}`, 'x'))
  const after = await stat(path)
  expect(after.ino).toBe(before.ino)
  expect(after.size - before.size).toBe(records(100, i => `\n${record(`new ${i}`, 'x')}`).length)
})

test('the last answer to a question counts; what is superseded, and the oldest of very many, goes in time', async () => {
  await mkdir(join(folder, 'cache'))
  await writeFile(path, records(2000, i => record('same', `candidate ${i}`)) + record('other'))
  const file = new AnswerFile(path)
  const expected = [answer('same', 'candidate 1999'), answer('other')]
  expect([...(await file.read(nothingSaid)).values()]).toEqual(expected)
  expect((await readFile(path, 'utf8')).split('\n')).toHaveLength(3)
  expect([...(await file.read(nothingSaid)).values()]).toEqual(expected)

  await writeFile(
    path,
    records(21_500, i => record(`question ${i}`)),
  )
  await file.read(nothingSaid)
  const kept = kernelsOf(await file.read(nothingSaid))
  expect([kept.length, kept[0], kept.at(-1)]).toEqual([20_000, 'question 1500', 'question 21499'])
})

test.each<[string, string | Buffer]>([
  ['JSON of another kind', '{"answers": {}}\n'],
  ['no JSON', 'hello\n\u001b[2J\n'],
  ['zeros, as a power cut leaves', `${'\0'.repeat(5000)}\n`],
  ['bytes that are no text', Buffer.from([255, 254, 10, 128, 10])],
  ['answers of another format', '{"question": "softmax: 3x4 f32", "candidate": "x"}\nnull\n[]\n'],
  ['an answer without a candidate', '{"kernel": "softmax", "sizes": {"rows": 3}, "options": {}}\n'],
])('damage is dropped in one line, and what is whole stays: %s', async (_, damage) => {
  await mkdir(join(folder, 'cache'))
  await writeFile(
    path,
    Buffer.concat([Buffer.from(record('before')), Buffer.from(damage), Buffer.from(record('after'))]),
  )
  const file = new AnswerFile(path)
  const said = vi.fn()
  expect(kernelsOf(await file.read(said))).toEqual(['before', 'after'])
  expect(said.mock.calls).toEqual([
    [expect.stringMatching(/jsonl has \d of \d lines that are not measured kernels; they are dropped$/)],
  ])
  expect(await readFile(path, 'utf8')).toBe(record('before') + record('after'))
})

test('a line that a killed process has left half is no damage to the next', async () => {
  await mkdir(join(folder, 'cache'))
  await writeFile(path, record('before') + '{"question": "ha')
  const file = new AnswerFile(path)
  expect(kernelsOf(await file.read(nothingSaid))).toEqual(['before'])
  await file.append(answer('after'))
  expect(kernelsOf(await file.read(() => undefined))).toEqual(['before', 'after'])
  expect(kernelsOf(await file.read(nothingSaid))).toEqual(['before', 'after'])
})

test('a file that is far too large is begun anew, and not read', async () => {
  await mkdir(join(folder, 'cache'))
  await writeFile(path, record('before'))
  await truncate(path, 40 * 2 ** 20)
  const file = new AnswerFile(path)
  const said = vi.fn()
  expect((await file.read(said)).size).toBe(0)
  expect(said.mock.calls).toEqual([[expect.stringContaining('has 41943040 bytes')]])
  expect((await stat(path)).size).toBe(0)
  await file.append(answer('after'))
  expect(kernelsOf(await file.read(nothingSaid))).toEqual(['after'])
})

test('a lock that a killed process has left holds up nobody for long', async () => {
  await mkdir(join(folder, 'cache'))
  await writeFile(path, 'damage\n' + record('question'))
  await writeFile(`${path}.lock`, '')
  const file = new AnswerFile(path)
  expect((await file.read(() => undefined)).size).toBe(1)
  expect(await readFile(path, 'utf8'), 'another process is writing it anew').toContain('damage')
  await utimes(`${path}.lock`, new Date(Date.now() - 120_000), new Date(Date.now() - 120_000))
  await file.read(() => undefined)
  expect(await readFile(path, 'utf8')).toBe(record('question'))
  expect(await readdir(join(folder, 'cache'))).toEqual(['llvmpipe.jsonl'])
})

test.skipIf(process.platform === 'win32')('what is not a file in its place is not waited for', async () => {
  await mkdir(path, { recursive: true })
  const file = new AnswerFile(path)
  await expect(file.read(nothingSaid)).rejects.toThrow('is a folder, not a file')
  await expect(file.append(answer('question'))).rejects.toThrow('EISDIR')
})
