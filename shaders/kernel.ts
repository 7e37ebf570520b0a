// What a kernel is to the rest of tilegrad: WGSL text, what it binds, its uniform words and its dispatch size.
// Nothing here knows a tensor or a device. A kernel's file exports, under names that begin with its own:
//   …Candidates(problem, traits)  the configs worth trying on such an adapter, best guess first
//   …Launch(problem, config)      a dispatch (…Lowering: several): shader, slots, uniforms and workgroup counts
// The shader is a pure function of the config, never of the problem's sizes. A file whose choice is simple
// (elementwise, reduce) has one function that gives the launches at once.

/** Element types of buffers. Sums are always made in f32; f16 is a storage type. */
export type DType = 'f32' | 'f16' | 'i32' | 'u32'

/** Storage types of what kernels multiply and average. */
export type FloatType = 'f32' | 'f16'

export function isFloat(dtype: unknown): dtype is FloatType {
  return dtype === 'f32' || dtype === 'f16'
}

/** Shape and element type of one value. */
export interface Spec {
  readonly shape: readonly number[]
  readonly dtype: DType
}

/**
 * How a kernel reads a buffer: element (i, j, …) is at offset + Σ index·stride, counted in elements from the start
 * of the binding. Stride 0 repeats (broadcast). A negative stride goes backwards: WGSL adds it modulo 2³².
 */
export interface View extends Spec {
  readonly strides: readonly number[]
  readonly offset: number
}

/** Whether a view goes backwards along an axis. */
export const isFlipped = ({ strides }: View): boolean => strides.some(stride => stride < 0)

/** Number of elements. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1
  for (const n of shape) size *= n
  return size
}

/** Strides of a contiguous value, in elements: the last axis's is 1. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride
    stride *= shape[i]
  }
  return strides
}

/** A product of subgroup matrices: f16 [m, k] times f16 [k, n], added to f32 [m, n], by a subgroup of `lanes` lanes. */
export interface SubgroupMatrix {
  readonly m: number
  readonly n: number
  readonly k: number
  readonly lanes: number
}

/** What a kernel writer may know of an adapter. */
export interface Traits {
  /** Adapter's name, for tables of known defaults. */
  readonly name: string
  /** A software rasteriser on a CPU: no workgroup-memory gains, narrow subgroups. */
  readonly cpu: boolean
  /**
   * Compiling a kernel takes tenths of a second of processor time, and again in every process: SwiftShader, which keeps
   * nothing on disk.
   */
  readonly compilesSlowly?: boolean
  /** Feature `shader-f16`. */
  readonly f16: boolean
  /** Subgroup width when the feature is there and the width is fixed (min = max); 0 otherwise. */
  readonly subgroupSize: number
  /** Subgroup matrices whose sums are f32, where the adapter has them. */
  readonly subgroupMatrix?: SubgroupMatrix
  readonly maxWorkgroupInvocations: number
  readonly maxWorkgroupStorage: number
  readonly maxStorageBuffers: number
  /** Largest count of workgroups along one dimension. */
  readonly maxWorkgroups: number
  /** Bytes of scratch memory that a kernel may use to save work. Left out: what any WebGPU device can bind. */
  readonly scratchBytes?: number
}

/**
 * Multiply-adds that SwiftShader computes hundreds of times by a short kernel before it has taken longer than a longer
 * one, which takes longer to compile.
 */
const LITTLE_WORK = 2 ** 16

/** Whether the best kernel for so many multiply-adds is the shortest, since compiling takes longer than running it. */
export const favorsShortKernels = ({ compilesSlowly = false }: Traits, multiplyAdds: number): boolean =>
  compilesSlowly && multiplyAdds <= LITTLE_WORK

/**
 * One buffer of a launch, by its role in the op: its n-th input, its n-th output, or a temporary of its own; or the
 * n-th input or the result of the epilogue.
 */
export interface Slot {
  readonly role: 'input' | 'output' | 'temporary' | 'epilogueInput' | 'epilogueOutput'
  readonly index: number
}

export const input = (index: number): Slot => ({ role: 'input', index })
export const output = (index: number): Slot => ({ role: 'output', index })
export const temporary = (index: number): Slot => ({ role: 'temporary', index })
export const epilogueInput = (index: number): Slot => ({ role: 'epilogueInput', index })
export const epilogueOutput: Slot = { role: 'epilogueOutput', index: 0 }

/**
 * One dispatch. `slots[k]` is bound at @group(0) @binding(k): inputs as `var<storage, read>`, outputs and written
 * temporaries as `var<storage, read_write>`; the uniform struct comes last, at @binding(slots.length).
 */
export interface Launch {
  /** Kernel and config, for profiles and buffer labels, e.g. `matmul 8x4 sg8`. */
  readonly label: string
  /** Pipelines are cached by this text. The entry point is called `main`. */
  readonly wgsl: string
  readonly slots: readonly Slot[]
  /** Which slots the shader writes (indices into `slots`). */
  readonly writes: readonly number[]
  /** Which of these it reads, too, each element once: what is updated in place. */
  readonly updates?: readonly number[]
  /** The uniform struct, word by word, in the order of its declaration (scalars only, so there is no padding). */
  readonly uniforms: Uint32Array<ArrayBuffer>
  readonly workgroups: readonly [number, number, number]
  /** Operations of its sums of products (2 per product), for profiles; left out where memory is what counts. */
  readonly operations?: number
}

/** Everything that one op becomes: its dispatches in order, and the scratch buffers that live only among them. */
export interface Lowering {
  readonly launches: readonly Launch[]
  readonly temporaries?: readonly Spec[]
}

/** Spreads a count of workgroups over x and y (and z) where it passes the limit of one dimension. The shader must
 *  compute its linear workgroup number as `w.x + w.y * num_workgroups.x` and return when it is past the end. */
export function spread(count: number, maxWorkgroups: number): [number, number, number] {
  if (count <= maxWorkgroups) return [Math.max(count, 1), 1, 1]
  const y = Math.ceil(count / maxWorkgroups)
  return [Math.ceil(count / y), y, 1]
}

/** Bytes of one element. */
export function bytesOf(dtype: DType): number {
  return dtype === 'f16' ? 2 : 4
}
