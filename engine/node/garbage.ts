// Forced garbage collection under Node and Deno, by a V8 flag, which affects contexts that are created after it is set,
// and under Bun.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

declare const Bun: { gc(force: boolean): void } | undefined

let collect: (() => void) | undefined

/** Collects all garbage at once. */
export function collectNow(): void {
  collect ??= typeof Bun === 'undefined' ? collectorOfV8() : () => Bun.gc(true)
  collect()
}

function collectorOfV8(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
