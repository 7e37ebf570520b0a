// A YAML file as a value whose every field knows its line. JSON is YAML, too.
import { LineCounter, type ParsedNode, isCollection, isMap, isNode, parseDocument } from 'yaml'
import { UserError } from '../../../../engine/errors.ts'
import { readText } from '../../../../models/node/files.ts'

/** Larger files are not specs. */
const MOST_BYTES = 1024 * 1024

export type Path = readonly PropertyKey[]

export interface Source {
  readonly value: unknown
  /** `study.yaml, line 7: parameters.lr.max`; of a field that is not there, the line of what it would be in. */
  where(path: Path): string
}

/** `parameters[1].lr`. */
export const fieldOf = (path: Path): string =>
  path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : `${text && `${text}.`}${String(key)}`),
    '',
  )

/** Where a field begins: its key, or the element of a list. */
function offsetOf(root: ParsedNode | null, path: Path): number {
  let node: unknown = root
  let offset = root?.range[0] ?? 0
  for (const key of path) {
    if (!isCollection(node)) break
    const pair = isMap(node) ? node.items.find(item => String(item.key) === String(key)) : undefined
    const place: unknown = pair ? pair.key : node.get(key, true)
    if (!isNode(place) || !place.range) break
    offset = place.range[0]
    node = pair ? pair.value : place
  }
  return offset
}

/** Throws a UserError with file and line on what is not YAML, including duplicate keys. */
export function parseSource(text: string, file: string): Source {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number): string => `${file}, line ${lines.linePos(offset).line}`
  const [error] = document.errors
  if (error) throw new UserError(`${at(error.pos[0])}: ${error.message}`)
  let value: unknown
  try {
    value = document.toJS()
  } catch (reason) {
    // Aliases that multiply, or that nothing defines.
    throw new UserError(`${file}: ${reason instanceof Error ? reason.message : String(reason)}`)
  }
  return {
    value,
    where: path => {
      const place = at(offsetOf(document.contents, path))
      return path.length > 0 ? `${place}: ${fieldOf(path)}` : place
    },
  }
}

export const readSource = async (file: string): Promise<Source> => parseSource(await readText(file, MOST_BYTES), file)
