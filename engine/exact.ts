// Text that is equal if and only if two values are.

/** Encodes what JSON can't express: it writes null for NaN and infinities, 0 for -0, and nothing for undefined. */
function exact(_name: string, value: unknown): unknown {
  if (value === undefined) return { '': 'undefined' }
  if (typeof value !== 'number' || (Number.isFinite(value) && !Object.is(value, -0))) return value
  return { '': Object.is(value, -0) ? '-0' : String(value) }
}

/** JSON that distinguishes all numbers, and undefined. */
export function exactJson(value: unknown): string {
  return JSON.stringify(value, exact)
}
