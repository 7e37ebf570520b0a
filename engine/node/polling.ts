// How often Dawn asks a software adapter whether it is done. Under Node, Dawn asks once per turn of the event loop (through the global
// `setImmediate`) for as long as anything is awaited, so a waiting process keeps one core busy. A GPU does not miss that core. A software
// adapter compiles and computes on it: there, Dawn asks at every turn only for a moment after work was submitted, then once a millisecond.

/** How long after a submit Dawn asks at every turn, in ms. Small results are ready by then, and are not delayed. */
const EAGER = 1

let eagerUntil = 0
let isInstalled = false

const beEager = (): void => { eagerUntil = performance.now() + EAGER }

/** Makes Dawn poll less for all devices of a software adapter; from the first such adapter on this holds for the whole process. */
export function pollLess(adapter: GPUAdapter): void {
  install()
  const request = adapter.requestDevice.bind(adapter)
  adapter.requestDevice = async descriptor => {
    const device = await request(descriptor)
    const { queue } = device
    const submit = queue.submit.bind(queue)
    queue.submit = buffers => {
      beEager()
      return submit(buffers)
    }
    return device
  }
}

function install(): void {
  if (isInstalled) return
  isInstalled = true
  // A proxy keeps what else belongs to `setImmediate`, such as its promisified form.
  globalThis.setImmediate = new Proxy(setImmediate, {
    apply(immediate, self, args: Parameters<typeof setImmediate>) {
      const [callback] = args
      if (!isDawns(callback) || performance.now() < eagerUntil) return Reflect.apply(immediate, self, args)
      return setTimeout(callback, 1)
    },
  })
}

/** Dawn's callback is the only one that is native and has no name; a bound function has one. */
function isDawns(callback: (...args: never[]) => void): boolean {
  return callback.name === '' && Function.prototype.toString.call(callback).endsWith('{ [native code] }')
}
