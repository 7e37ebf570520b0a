// Workgroup memory is zero at first, and that costs a software adapter's compiler no code for each element.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openAdapter } from '../../../engine/node/adapters.ts'
import { openDevice } from '../../../engine/runtime/device.ts'
import { processorSeconds } from '../../support/spent.ts'

const COUNT = 4096

let device: GPUDevice
let software: boolean
beforeAll(async () => {
  // What the caller disables is disabled besides what the adapter needs.
  const { adapter, info } = await openAdapter({ dawnFlags: ['disable-dawn-features=timestamp_quantization'] })
  software = info.fallback
  device = (await openDevice(adapter, info)).gpu
})
afterAll(() => device.destroy())

/** A pipeline whose shader copies workgroup memory that nothing has written, from element `first` on. */
const compile = (length: number, first: number): Promise<GPUComputePipeline> =>
  device.createComputePipelineAsync({
    layout: 'auto',
    compute: {
      module: device.createShaderModule({
        code: `
          @group(0) @binding(0) var<storage, read_write> copy: array<f32>;
          var<workgroup> memory: array<f32, ${length}>;
          @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) local: u32) {
            for (var i = local; i < ${length}u; i += 64u) { copy[i] = memory[(i + ${first}u) % ${length}u]; }
          }
        `,
      }),
    },
  })

test('a kernel of 16 KiB of workgroup memory compiles about as fast as one of 16 bytes', async context => {
  context.skip(!software, 'a GPU compiles kernels too fast to be measured')
  const secondsOf = async (length: number, first: number): Promise<number> => {
    const before = processorSeconds()
    await compile(length, first)
    return processorSeconds() - before
  }
  await secondsOf(4, 0)
  let [small, large] = [Infinity, Infinity]
  for (let round = 0; round < 3; round++) {
    small = Math.min(small, await secondsOf(4, round + 1))
    large = Math.min(large, await secondsOf(COUNT, round + 1))
  }
  expect(large).toBeLessThan(20 * small)
})

test('workgroup memory is zero at first', async () => {
  const buffer = device.createBuffer({
    size: 4 * COUNT,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
    mappedAtCreation: true,
  })
  new Float32Array(buffer.getMappedRange()).fill(7)
  buffer.unmap()
  const copy = device.createBuffer({ size: 4 * COUNT, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
  const pipeline = await compile(COUNT, 0)
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  const entries = [{ binding: 0, resource: { buffer } }]
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }))
  pass.dispatchWorkgroups(1)
  pass.end()
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, 4 * COUNT)
  device.queue.submit([encoder.finish()])
  await copy.mapAsync(GPUMapMode.READ)
  expect([...new Float32Array(copy.getMappedRange())]).toEqual(new Array<number>(COUNT).fill(0))
})
