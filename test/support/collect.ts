// Garbage collection on demand, for tests of what is given back.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
/** Collects all that JavaScript has forgotten; finalizers run soon after. */
export const collect = runInNewContext('gc') as () => void

/** The same, and waits for the finalizers. */
export async function collected(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await new Promise(resolve => setTimeout(resolve, 0))
    collect()
  }
  await new Promise(resolve => setTimeout(resolve, 0))
}
