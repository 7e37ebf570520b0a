// Numbers as tables show them.
import type { Ceilings } from '../engine/runtime/ceilings.ts'

/** Milliseconds: a large number needs no decimals. */
export function ms(time: number): string {
  return time >= 100 ? time.toFixed(0) : time >= 10 ? time.toFixed(1) : time >= 1 ? time.toFixed(2) : time.toFixed(3)
}

/** Bytes in MB of 10⁶. */
export const megabytes = (bytes: number): string => (bytes >= 1e8 ? (bytes / 1e6).toFixed(0) : (bytes / 1e6).toFixed(1))

/** Amount per second in 10⁹, from milliseconds; a dash for none. */
export function giga(amount: number, milliseconds: number): string {
  if (amount === 0 || milliseconds === 0) return '–'
  const rate = amount / milliseconds / 1e6
  return rate >= 100 ? rate.toFixed(0) : rate.toFixed(1)
}

/** The ceilings that shares in a table refer to. */
export const ceilingsText = ({ operations, halfOperations, bytes }: Ceilings): string =>
  `Ceilings measured here: ${giga(operations, 1000)} GFLOP/s of f32 multiply-adds in registers` +
  `${halfOperations ? ` (f16: ${giga(halfOperations, 1000)})` : ''}, ${giga(bytes, 1000)} GB/s copied.`
