// JSON of figures. JSON has no NaN and no ∞: JSON.stringify writes null for them, which a reader takes for a figure that
// was never measured. Here they are refused.
import { NonFinite } from '../../../engine/errors.ts'

/** JSON of a value. Throws a NonFinite, naming the field and `where` it was to go, where a number in it is not finite. */
export function finiteJson(value: unknown, where: string, indent?: number): string {
  return JSON.stringify(value, (name, part: unknown) => {
    if (typeof part === 'number' && !Number.isFinite(part)) throw new NonFinite(`${where}: ${name} is ${part}, which is not a valid result`)
    return part
  }, indent)
}
