// Numbers as integers of the same order, for comparisons that WGSL does not define for NaN, and for atomics.
import type { DType } from './kernel.ts'
import { type ScalarType, computed, wgsl } from './wgsl.ts'

/** Integers in the order of the numbers; NaN is the largest. */
const KEYS: Readonly<Record<ScalarType, string>> = {
  u32: wgsl`
    fn keyOf(x: u32) -> u32 {
      return x;
    }

    fn numberOf(key: u32) -> u32 {
      return key;
    }
  `,
  i32: wgsl`
    fn keyOf(x: i32) -> u32 {
      return bitcast<u32>(x) ^ 0x80000000u;
    }

    fn numberOf(key: u32) -> i32 {
      return bitcast<i32>(key ^ 0x80000000u);
    }
  `,
  f32: wgsl`
    fn keyOf(x: f32) -> u32 {
      let bits = bitcast<u32>(x);
      let ordered = select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
      return select(ordered, 0xffffffffu, (bits & 0x7fffffffu) > 0x7f800000u);
    }

    fn numberOf(key: u32) -> f32 {
      let bits = select(~key, key & 0x7fffffffu, key >= 0x80000000u);
      return bitcast<f32>(select(bits, 0x7fc00000u, key == 0xffffffffu));
    }
  `,
}

/** WGSL of `keyOf(x) -> u32`, larger for larger numbers, and of `numberOf(key)`, its inverse, for an element type. */
export const keyFunctions = (dtype: DType): string => KEYS[computed(dtype)]
