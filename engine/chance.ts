// Notices calls that give another value each time, such as Math.random, while a function is traced: their value would be
// the same in every replay.

const WATCHED: readonly (readonly [object: object, method: string, name: string])[] = [
  [Math, 'random', 'Math.random()'],
  [Date, 'now', 'Date.now()'],
  [performance, 'now', 'performance.now()'],
]

/** Calls `run`, and calls `notice` with the name of each watched function that it calls. */
export function withChanceNoticed<R>(run: () => R, notice: (name: string) => void): R {
  const restore: (() => void)[] = []
  for (const [object, method, name] of WATCHED) {
    const own = Object.getOwnPropertyDescriptor(object, method)
    const original: unknown = Reflect.get(object, method)
    if (typeof original !== 'function') continue
    const value = (...args: unknown[]): unknown => {
      notice(name)
      return Reflect.apply(original, object, args)
    }
    // False where the environment has frozen its objects.
    if (!Reflect.defineProperty(object, method, { value, configurable: true, writable: true })) continue
    restore.push(() => {
      if (own) Object.defineProperty(object, method, own)
      else Reflect.deleteProperty(object, method)
    })
  }
  try {
    return run()
  } finally {
    for (const undo of restore) undo()
  }
}
