// However a process that opened a device ends, the device is closed first: native threads that still compile or compute
// while the process shuts down would crash it.
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

const engine = new URL('../../../engine/node/index.ts', import.meta.url).href

/** A process that opens a device, begins to compile and to read, and then ends by `code`. */
function endBy(code: string): { status: number | null; signal: string | null; stdout: string } {
  const script = `
    import { currentDevice, tensor } from ${JSON.stringify(engine)}
    import { writeSync } from 'node:fs'
    const { gpu } = await currentDevice()
    const destroy = gpu.destroy.bind(gpu)
    gpu.destroy = () => { writeSync(1, 'closed'); destroy() }
    void tensor(new Float32Array(1 << 16)).exp().sum().data().catch(() => undefined)
    void gpu.createComputePipelineAsync({ layout: 'auto', compute: { module: gpu.createShaderModule({ code: \`
      @group(0) @binding(0) var<storage, read_write> a: array<f32>;
      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { a[id.x] = sin(a[id.x] + ${Math.random()}); }\` }) } })
    ${code}`
  const { status, signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  })
  return { status, signal, stdout }
}

test.for([
  ['process.exit', 'process.exit(7)', 7],
  ['an uncaught exception', `setImmediate(() => { throw new Error('thrown') })`, 1],
  ['an unhandled rejection', `void Promise.reject(new Error('rejected'))`, 1],
  [
    'process.exit in a listener',
    `process.on('SIGUSR2', () => process.exit(9)); process.kill(process.pid, 'SIGUSR2')`,
    9,
  ],
] as const)('%s closes the device before the process ends', ([, code, status]) => {
  expect(endBy(code)).toEqual({ status, signal: null, stdout: 'closed' })
})
