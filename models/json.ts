// JSON from files, which may have been made to fill memory: nesting costs many times its text.
import { UserError } from '../engine/errors.ts'

/** Deepest nesting of lists and objects that is read. */
const DEEPEST = 100

/** The value of a JSON text. Throws a UserError that begins with `what` when it is not JSON or nests too deeply. */
export function parseJson(text: string, what: string): unknown {
  if (nestsDeeper(text, DEEPEST)) throw new UserError(`${what} nests lists and objects more than ${DEEPEST} deep`)
  try {
    return JSON.parse(text)
  } catch {
    throw new UserError(`${what} is not JSON`)
  }
}

/** Whether brackets outside strings nest deeper than `limit`. */
function nestsDeeper(json: string, limit: number): boolean {
  let depth = 0
  let quoted = false
  for (let i = 0; i < json.length; i++) {
    const unit = json[i]
    if (quoted) {
      if (unit === '\\') i++
      else if (unit === '"') quoted = false
    } else if (unit === '"') quoted = true
    else if (unit === '[' || unit === '{') {
      if (++depth > limit) return true
    } else if (unit === ']' || unit === '}') depth--
  }
  return false
}
