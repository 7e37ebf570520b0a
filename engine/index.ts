// tilegrad's engine: tensors, gradients, compiled functions. Importing it registers all ops.
import './ops/elementwise.ts'
import './ops/functions.ts'
import './ops/activations.ts'
import './ops/bits.ts'
import './ops/views.ts'
import './ops/reduce.ts'
import './ops/statistics.ts'
import './ops/scan.ts'
import './ops/concat.ts'
import './ops/dropout.ts'
import './ops/matmul.ts'
import './ops/softmax.ts'
import './ops/layer-norm.ts'
import './ops/rms-norm.ts'
import './ops/gather.ts'
import './ops/coordinates.ts'
import './ops/arrange.ts'
import './ops/scatter.ts'
import './ops/sort.ts'
import './ops/adamw.ts'
import { UserError } from './errors.ts'
import { openDevice, setDeviceProvider } from './runtime/device.ts'

export type { DType, Spec } from '../shaders/kernel.ts'
export { NonFinite, UserError } from './errors.ts'
export { Tensor, type Operand, type Sorted, type TensorData, scalar } from './tensor.ts'
export type { TypedArray } from './numbers.ts'
export { type Nested, full, hostTensor, ones, tensor, zeros } from './ops/source.ts'
export { range } from './ops/elementwise.ts'
export { eye, linspace, oneHot } from './ops/coordinates.ts'
export { concat } from './ops/concat.ts'
export { stack } from './ops/arrange.ts'
export { einsum } from './ops/einsum.ts'
export { linearScan } from './ops/scan.ts'
export {
  type ConvOptions,
  type ConvTransposeOptions,
  conv1d,
  conv2d,
  convTranspose1d,
  convTranspose2d,
} from './ops/conv.ts'
export {
  type AveragePoolOptions,
  type MaxPoolOptions,
  type PoolOptions,
  avgPool1d,
  avgPool2d,
  maxPool1d,
  maxPool2d,
} from './ops/pool.ts'
export { type BatchNormOptions, type BatchStatistics, batchNorm, batchStatistics, groupNorm } from './ops/norms.ts'
export {
  type RandomKey,
  randomBernoulli,
  randomCategorical,
  randomNormal,
  randomPermutation,
  randomUniform,
} from './ops/random.ts'
export { type UpsampleOptions, upsample } from './ops/upsample.ts'
export { dropout } from './ops/dropout.ts'
export { type AttentionOptions, attention } from './ops/attention.ts'
export { crossEntropy } from './ops/cross-entropy.ts'
export { divergence } from './ops/divergence.ts'
export { loraLinear } from './ops/lora.ts'
export {
  type CrossEntropyOptions,
  type LossOptions,
  bceWithLogitsLoss,
  crossEntropyLoss,
  huberLoss,
  klDivLoss,
  l1Loss,
  mseLoss,
} from './losses.ts'
export { grad } from './autodiff.ts'
export { type Compiled, type CompileOptions, compile, currentTrace, readAll } from './evaluate.ts'
export { Fixed, type Passed, type Tree, fixed } from './tree.ts'
export { bucketSize } from './buckets.ts'
export type { NonFiniteCause } from './compile/diagnose.ts'
export type { PlanSummary } from './compile/plan.ts'
export type { KernelTime } from './runtime/profiler.ts'
export { setCollector } from './runtime/garbage.ts'
export { type Content, Variable, variable } from './variable.ts'
export type { AdapterInfo } from './runtime/device.ts'
export { Device, DeviceLost, currentDevice, openDevice, setDeviceProvider, useDevice } from './runtime/device.ts'
export { type Answer, KernelTuning, type Question, type Tuner, type TuningMode, type TuningOptions } from './tune.ts'

// In a browser the device is the one that the browser offers; under Node, engine/node/index.ts sets another provider.
if (typeof navigator !== 'undefined' && 'gpu' in navigator) {
  setDeviceProvider(async () => {
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' })
    if (!adapter) throw new UserError('the browser offers no WebGPU adapter')
    const { vendor, architecture, description, isFallbackAdapter } = adapter.info
    const name = description || [vendor, architecture].filter(Boolean).join(' ') || 'WebGPU'
    return openDevice(adapter, { name, vendor, architecture, fallback: isFallbackAdapter })
  })
}
