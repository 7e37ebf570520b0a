// Made-up adapters of every kind that kernels are written for. What is recorded depends on these values, not on the
// machine.
import type { Traits } from '../../../shaders/kernel.ts'

const common = { maxWorkgroups: 65535, scratchBytes: 128 * 2 ** 20 }

export const adapters: Readonly<Record<string, Traits>> = {
  llvmpipe: {
    ...common,
    name: 'llvmpipe',
    cpu: true,
    f16: true,
    subgroupSize: 8,
    maxWorkgroupInvocations: 1024,
    maxWorkgroupStorage: 32768,
    maxStorageBuffers: 16,
  },
  swiftshader: {
    ...common,
    name: 'SwiftShader',
    cpu: true,
    compilesSlowly: true,
    f16: true,
    subgroupSize: 4,
    maxWorkgroupInvocations: 256,
    maxWorkgroupStorage: 16384,
    maxStorageBuffers: 10,
  },
  nvidia: {
    ...common,
    name: 'NVIDIA',
    cpu: false,
    f16: true,
    subgroupSize: 32,
    subgroupMatrix: { m: 16, n: 16, k: 16, lanes: 32 },
    maxWorkgroupInvocations: 1024,
    maxWorkgroupStorage: 49152,
    maxStorageBuffers: 16,
  },
  // The least that WebGPU promises, on a GPU.
  least: {
    ...common,
    name: 'least',
    cpu: false,
    f16: false,
    subgroupSize: 0,
    maxWorkgroupInvocations: 256,
    maxWorkgroupStorage: 16384,
    maxStorageBuffers: 8,
  },
}

/** Other kinds of subgroup matrices. */
export const fragments: readonly NonNullable<Traits['subgroupMatrix']>[] = [
  { m: 16, n: 8, k: 16, lanes: 32 },
  { m: 16, n: 8, k: 8, lanes: 32 },
  { m: 8, n: 8, k: 8, lanes: 32 },
  { m: 8, n: 4, k: 16, lanes: 16 },
]
