// IEEE half precision to and from single precision, as Uint16: with Float16Array if there is one, else by bits.
import type { TensorData } from './tensor.ts'

interface HalfArray {
  readonly buffer: ArrayBuffer
  readonly length: number
  [index: number]: number
}
interface HalfConstructor {
  new (source: ArrayLike<number>): HalfArray
  new (source: ArrayBuffer, byteOffset: number, length: number): HalfArray
}
const Half = (globalThis as { Float16Array?: HalfConstructor }).Float16Array

/** The nearest halves, ties to even; ±∞ from ±65520 on. */
export function toFloat16(data: TensorData): Uint16Array<ArrayBuffer> {
  if (Half) return new Uint16Array(new Half(data).buffer)
  return Uint16Array.from(data, halfBits)
}

export function toFloat32(halves: Uint16Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  if (Half) return new Float32Array(new Half(halves.buffer, halves.byteOffset, halves.length))
  return Float32Array.from(halves, halfValue)
}

/** The bits of the nearest half. */
export function halfBits(number: number): number {
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0
  const a = Math.abs(number)
  if (Number.isNaN(a)) return 0x7e00
  if (a >= 65520) return sign | 0x7c00
  // Halves below 2⁻¹⁴ are spaced evenly by 2⁻²⁴; above, by 2⁻¹⁰ of their power of two.
  const exponent = Math.max(Math.floor(Math.log2(Math.max(a, 2 ** -30))), -14)
  const units = roundEven(a / 2 ** (exponent - 10))
  return units >= 2048
    ? sign | ((exponent + 16) << 10)
    : units >= 1024
      ? sign | ((exponent + 15) << 10) | (units - 1024)
      : sign | units
}

function roundEven(x: number): number {
  const floor = Math.floor(x)
  const rest = x - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}

/** The number that a half's bits represent. */
export function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25)
}
