// Integers in float64.
import type { DType } from '../../shaders/kernel.ts'

/** A number as a dtype holds it: integers keep their low 32 bits. */
export function inDType(dtype: DType, number: number): number {
  return dtype === 'i32' ? number | 0 : dtype === 'u32' ? number >>> 0 : number
}
