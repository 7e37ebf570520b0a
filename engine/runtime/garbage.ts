// Collecting what JavaScript has forgotten. GPU memory does not weigh on JavaScript's heap, so its collector may be in no
// hurry while the GPU runs full.

type Collector = () => void

/** `gc` is there under --expose-gc, also in a browser. */
let collector: Collector | undefined = (globalThis as { gc?: Collector }).gc

/** Sets what collects garbage at once, where the environment has such a thing. */
export function setCollector(next: Collector): void {
  collector ??= next
}

/** Collects what it can, and lets finalizers run: they come as tasks of their own. */
export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    // A promise's own callbacks may still hold what is to be collected: they end with the task.
    await new Promise(resolve => setTimeout(resolve, 0))
    collector?.()
  }
  await new Promise(resolve => setTimeout(resolve, 0))
}
