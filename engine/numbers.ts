// Which numbers a dtype can represent, and the conversion of arrays from the host to those that tensors hold.
import type { DType } from '../shaders/kernel.ts'
import { UserError } from './errors.ts'
import { toFloat16, toFloat32 } from './float16.ts'
import type { TensorData } from './tensor.ts'
import type { Float16Array } from './web.ts'

/** JavaScript's arrays of numbers. */
export type TypedArray = FloatArray | SignedArray | UnsignedArray
type FloatArray = Float64Array | Float32Array | Float16Array
type SignedArray = Int32Array | Int16Array | Int8Array | BigInt64Array
type UnsignedArray = Uint32Array | Uint16Array | Uint8Array | Uint8ClampedArray | BigUint64Array

/** Default dtypes by the array's class name: not every JavaScript engine has all of these classes. */
export const TYPED_DTYPES: Readonly<Record<string, DType>> = {
  Float64Array: 'f32',
  Float32Array: 'f32',
  Float16Array: 'f16',
  Int32Array: 'i32',
  Int16Array: 'i32',
  Int8Array: 'i32',
  BigInt64Array: 'i32',
  Uint32Array: 'u32',
  Uint16Array: 'u32',
  Uint8Array: 'u32',
  Uint8ClampedArray: 'u32',
  BigUint64Array: 'u32',
} satisfies Record<TypedArray[typeof Symbol.toStringTag], DType>

export function isTypedArray(data: unknown): data is TypedArray {
  return ArrayBuffer.isView(data) && Symbol.toStringTag in data && String(data[Symbol.toStringTag]) in TYPED_DTYPES
}

/** The smallest number that rounds to infinity in f16. */
export const HALF_OVERFLOW = 65520

/**
 * Whether a dtype can represent a number, rounded if necessary: integers the whole numbers in their range, floats NaN,
 * infinities and every number that doesn't round to infinity.
 */
function isRepresentable(number: number, dtype: DType): boolean {
  if (dtype === 'i32') return (number | 0) === number
  if (dtype === 'u32') return number >>> 0 === number
  if (!Number.isFinite(number)) return true
  const single = Math.abs(Math.fround(number))
  return dtype === 'f16' ? single < HALF_OVERFLOW : single < Infinity
}

/** Throws a UserError, which begins with `where`, if a dtype can't represent a number. */
export function needRepresentable(number: number, dtype: DType, where: string): void {
  if (!isRepresentable(number, dtype)) throw new UserError(`${where}${number} is not representable as ${dtype}`)
}

/**
 * Numbers in the array that a tensor of `dtype` holds; booleans become 1 and 0. An array of that kind is returned as it
 * is, not copied. Throws a UserError that names the first number that `dtype` can't represent, and its position.
 */
export function dataOf(
  numbers: TypedArray | readonly (number | bigint | boolean)[],
  dtype: DType,
  placeOf: (index: number) => string,
): TensorData {
  if (dtype === 'f32' && numbers instanceof Float32Array) return numbers
  if (dtype === 'i32' && numbers instanceof Int32Array) return numbers
  if (dtype === 'u32' && numbers instanceof Uint32Array) return numbers
  const length = numbers.length
  const Data = dtype === 'i32' ? Int32Array : dtype === 'u32' ? Uint32Array : Float32Array
  const data = new Data(length)
  for (let i = 0; i < length; i++) {
    const number = Number(numbers[i])
    if (!isRepresentable(number, dtype)) {
      throw new UserError(`tensor: ${brief(numbers[i])} at ${placeOf(i)} is not representable as ${dtype}`)
    }
    data[i] = number
  }
  // Rounded to half precision here, so that host and device agree on the numbers.
  return dtype === 'f16' ? toFloat32(toFloat16(data)) : data
}

/** A value for a message, shortened: a bigint may have any number of digits. */
function brief(value: number | bigint | boolean): string {
  const text = String(value)
  return text.length <= 40 ? text : `${text.slice(0, 40)}…`
}
