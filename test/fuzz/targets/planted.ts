// Parsers with a fault each, by which the fuzzer's own tests see that it finds such faults. Not fuzzed.
import type { Target } from '../target.ts'

function planted(name: string, run: () => Promise<void>): Target {
  return { name: `planted/${name}`, seeds: async () => [new Uint8Array(8)], run }
}

export const plantedTargets: readonly Target[] = [
  planted('none', async () => {}),
  planted('hang', async () => {
    for (;;);
  }),
  planted('memory', async () => {
    const kept: Uint8Array[] = []
    for (let i = 0; i < 40; i++) {
      kept.push(new Uint8Array(64 * 2 ** 20).fill(1))
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }),
  planted('crash', async () => process.exit(7)),
  planted('exception', async () => {
    throw new RangeError('planted')
  }),
  planted('unhandled', async () => {
    void Promise.reject(new RangeError('planted'))
  }),
]
