// A process that trains a tiny model for 1,100 steps, and after every hundredth prints a line of JSON with the memory
// that it uses.
import { currentDevice } from '../../engine/node/index.ts'
import { classesTask } from '../../train/tasks/classes.ts'
import { Trainer } from '../../train/trainer.ts'
import { collect } from './collect.ts'
import { ONE_LAYER, OPTIONS, reviews, tinyModel } from './training.ts'

export interface Holding {
  readonly step: number
  /** GPU buffers, and their bytes. */
  readonly buffers: number
  readonly bytes: number
  /** Bytes of JavaScript's objects, and of the process in memory. */
  readonly heap: number
  readonly rss: number
}

if (import.meta.main) {
  const device = await currentDevice()
  const trainer = await Trainer.over(await tinyModel('lora', ONE_LAYER), classesTask(), {
    ...OPTIONS,
    epochs: 110,
    batchSize: 4,
  })
  await trainer.train(reviews(40, 1, { shortest: 3, longest: 6 }), [], undefined, {
    onStep: ({ step }) => {
      if (step % 100 !== 0) return
      collect()
      const { heapUsed, external, rss } = process.memoryUsage()
      const holding: Holding = {
        step,
        buffers: device.buffers.count,
        bytes: device.buffers.bytes,
        heap: heapUsed + external,
        rss,
      }
      process.stdout.write(`${JSON.stringify(holding)}\n`)
    },
  })
  device.close()
}
