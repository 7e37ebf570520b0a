// JSON exactly as Python's `json.dumps` writes it: whole numbers apart from floats, and no character beyond ASCII.

/** A number that Python holds as a float: 8 is written as 8.0. */
export class Float {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

export type PythonValue =
  | null
  | boolean
  | string
  | number
  | Float
  | readonly PythonValue[]
  | { readonly [key: string]: PythonValue }

/** As Python's `repr`: 1e-05, 0.0001, 12.0, 1e+16. */
function float(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity'
  const [digits, exponent] = value.toExponential().split('e')
  if (value !== 0 && (Number(exponent) < -4 || Number(exponent) >= 16))
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`
  const text = Object.is(value, -0) ? '-0' : String(value)
  return text.includes('.') ? text : `${text}.0`
}

const escaped = (text: string): string =>
  JSON.stringify(text).replace(/[\u007f-\uffff]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** Python's default separators, or those without blanks. */
export type Separators = 'spaced' | 'compact'

const isList = (value: PythonValue): value is readonly PythonValue[] => Array.isArray(value)

export function pythonJson(value: PythonValue, separators: Separators = 'spaced'): string {
  const [comma, colon] = separators === 'spaced' ? [', ', ': '] : [',', ':']
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return escaped(value)
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : float(value)
  if (value instanceof Float) return float(value.value)
  if (isList(value)) return `[${value.map(item => pythonJson(item, separators)).join(comma)}]`
  const entries = Object.entries(value).map(([key, item]) => `${escaped(key)}${colon}${pythonJson(item, separators)}`)
  return `{${entries.join(comma)}}`
}
