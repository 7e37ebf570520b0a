// How often Dawn polls a software adapter for completed work. Under Node, Dawn polls once per turn of the event loop
// (through the global `setImmediate`) for as long as anything is awaited, so a waiting process keeps one core busy. A
// software adapter needs that core to compile and compute: with one, Dawn polls at every turn only for a moment after a
// submit and while something is timed, else once a millisecond.
import { timedWaits } from '../runtime/waiting.ts'

/** How long after a submit Dawn polls at every turn, in ms. Small results are ready by then, and are not delayed. */
const EAGER = 1

type Callback = Parameters<typeof setImmediate>[0]

let eagerUntil = 0
/** The native `setImmediate`, once it is replaced. */
let immediate: typeof setImmediate | undefined
/** Dawn's delayed polls, one per instance that waits. */
const delayed = new Map<NodeJS.Timeout, Callback>()

/**
 * Makes Dawn poll less for all devices of a software adapter; from the first such adapter on this holds for the whole
 * process.
 */
export function pollLess(adapter: GPUAdapter): void {
  install()
  const request = adapter.requestDevice.bind(adapter)
  adapter.requestDevice = async descriptor => {
    const device = await request(descriptor)
    const { queue } = device
    const submit = queue.submit.bind(queue)
    queue.submit = buffers => {
      pollSoon()
      return submit(buffers)
    }
    return device
  }
}

/** Makes Dawn poll at every turn for a moment, from now on. */
function pollSoon(): void {
  eagerUntil = performance.now() + EAGER
  for (const [timer, callback] of delayed) {
    clearTimeout(timer)
    immediate?.(callback)
  }
  delayed.clear()
}

function install(): void {
  if (immediate) return
  immediate = setImmediate
  // A proxy keeps what else belongs to `setImmediate`, such as its promisified form.
  globalThis.setImmediate = new Proxy(setImmediate, {
    apply(target, self, args: Parameters<typeof setImmediate>) {
      const [callback] = args
      if (!isDawnsPoll(callback) || timedWaits.count > 0 || performance.now() < eagerUntil)
        return Reflect.apply(target, self, args)
      const timer = setTimeout(() => {
        delayed.delete(timer)
        callback()
      }, 1)
      delayed.set(timer, callback)
    },
  })
}

/** Dawn's callback is the only one that is native and has no name; a bound function has one. */
function isDawnsPoll(callback: Callback): boolean {
  return callback.name === '' && Function.prototype.toString.call(callback).endsWith('{ [native code] }')
}
