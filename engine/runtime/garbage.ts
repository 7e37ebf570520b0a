// Garbage collection on demand. JavaScript's collector doesn't know of GPU memory, so it may not run before the GPU is
// full.

type Collector = () => void

/** `gc` exists with --expose-gc, also in a browser. */
let collector: Collector | undefined = (globalThis as { gc?: Collector }).gc

/** Sets a function that collects garbage at once, if the environment has one. */
export function setCollector(next: Collector): void {
  collector ??= next
}

/** Collects garbage and lets finalizers run, which are separate tasks. */
export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    // Callbacks of the current task may still hold garbage: wait for its end.
    await new Promise(resolve => setTimeout(resolve, 0))
    collector?.()
  }
  await new Promise(resolve => setTimeout(resolve, 0))
}
