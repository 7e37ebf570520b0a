// Types of the web platform that declarations of the package name. Not every program that uses the package has them: its
// `lib` may leave out `dom`, or be older than they are. Where they are not declared, these are `unknown` or `never`, so
// that the declarations compile everywhere; where they are, these are the same types.

/** What a global class constructs. */
type InstanceOf<Name extends string, Otherwise = unknown> =
  typeof globalThis extends Readonly<Record<Name, { readonly prototype: infer Instance }>> ? Instance : Otherwise

export type GPU = InstanceOf<'GPU'>
export type GPUAdapter = InstanceOf<'GPUAdapter'>
export type GPUBindGroupLayout = InstanceOf<'GPUBindGroupLayout'>
export type GPUBuffer = InstanceOf<'GPUBuffer'>
export type GPUCommandEncoder = InstanceOf<'GPUCommandEncoder'>
export type GPUComputePipeline = InstanceOf<'GPUComputePipeline'>
export type GPUDevice = InstanceOf<'GPUDevice'>
export type GPUQuerySet = InstanceOf<'GPUQuerySet'>
export type Float16Array = InstanceOf<'Float16Array', never>

export interface GPUComputePassTimestampWrites {
  readonly querySet: GPUQuerySet
  readonly beginningOfPassWriteIndex?: number
  readonly endOfPassWriteIndex?: number
}
