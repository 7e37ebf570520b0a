// The process in which bench/topics/host.ts measures: a device of Dawn's null backend, plans of known length, times
// back by message.
import { compile, variable } from '../../engine/index.ts'
import { openNullDevice } from '../adapter.ts'
import type { HostRow } from './host.ts'
import { measure } from '../measure.ts'
import { prepareTraining, published } from '../training.ts'

const EFFORT = { calls: 50, repeats: 4 }
/** Small products, each of the one before, so that nothing fuses. */
const CHAIN = 1000
const SIDE = 16

const [scale] = process.argv.slice(2)

async function chain(): Promise<HostRow> {
  const [x, w] = ['x', 'w'].map(name => variable({ shape: [SIDE, SIDE], dtype: 'f32' }, name).tensor)
  const fn = compile(() => ({ y: Array.from({ length: CHAIN }).reduce<typeof x>(y => y.matmul(w), x) }))
  const { dispatches } = await fn.prepare()
  return row(`${CHAIN} products in a row`, dispatches, () => fn())
}

/** On a small batch: the null backend has 512 MB. */
async function step(model: string): Promise<HostRow> {
  const training = await prepareTraining(
    { config: published(model), tuning: 'lora', batch: 1, sequence: 16, precision: 'f32' },
    false,
  )
  const { dispatches } = await training.plan()
  return row(`${model} LoRA step`, dispatches, () => training.step())
}

async function row(what: string, dispatches: number, run: () => Promise<unknown>): Promise<HostRow> {
  const { median } = await measure(run, EFFORT)
  return { what, dispatches, milliseconds: median, microsecondsPerDispatch: (1000 * median) / dispatches }
}

const works = [
  chain,
  () => step('distilbert-base-uncased'),
  ...(scale === 'quick' ? [] : [() => step('bert-base-uncased')]),
]
const rows: HostRow[] = []
for (const work of works) {
  // A device for each: buffers that one keeps for reuse could leave too little memory for the next.
  const device = await openNullDevice()
  rows.push(await work())
  device.close()
}
if (!process.send) throw new Error('this process reports to the one that started it')
process.send(rows, () => process.disconnect?.())
