// Operations on the bits of integers, and logic, which is operations on the bits of comparisons with 0.
import { defineMethods, lift } from '../tensor.ts'
import { type Row, defineRows } from './elementwise.ts'

declare module '../graph.ts' {
  interface OpAttributes extends Record<keyof typeof operations, NoAttributes> {}
}

const bitwise = (operator: string, value: (a: number, b: number) => number): Row => ({
  wgsl: (a, b) => `(${a} ${operator} ${b})`,
  value,
  rounding: 'none',
})

/** Whether a shift by `b` bits leaves some of them. */
const isWithin = (b: number): boolean => b >= 0 && b < 32

const operations = {
  bitwiseAnd: bitwise('&', (a, b) => a & b),
  bitwiseOr: bitwise('|', (a, b) => a | b),
  bitwiseXor: bitwise('^', (a, b) => a ^ b),
  // By 32 bits or more, or a negative number of them, nothing is left but the sign, as in NumPy.
  leftShift: {
    wgsl: (a, b) => `select(0, ${a} << (u32(${b}) & 31u), u32(${b}) < 32u)`,
    value: (a, b) => (isWithin(b) ? a << b : 0),
    rounding: 'none',
  },
  rightShift: {
    wgsl: (a, b) => `((${a} >> min(u32(${b}), 31u)) >> select(0u, 1u, u32(${b}) > 31u))`,
    value: (a, b) => Math.floor(a / 2 ** (isWithin(b) ? b : 32)),
    rounding: 'none',
  },
} satisfies Record<string, Row>

defineRows(operations, { takes: 'integers' })

defineMethods({
  bitwiseNot() {
    return this.bitwiseXor(this.dtype === 'u32' ? 0xffffffff : -1)
  },
  logicalAnd(other) {
    return this.notEqual(0).bitwiseAnd(lift('logicalAnd', other, this.dtype).notEqual(0))
  },
  logicalOr(other) {
    return this.notEqual(0).bitwiseOr(lift('logicalOr', other, this.dtype).notEqual(0))
  },
  logicalXor(other) {
    return this.notEqual(0).bitwiseXor(lift('logicalXor', other, this.dtype).notEqual(0))
  },
  logicalNot() {
    return this.equal(0)
  },
})
