// Named entities in sequences of tags such as B-PER, I-PER, O, and how many of them were found: an entity counts as
// found only if its type, its first and its last token are right. Tags are interpreted as seqeval does.
//
// Lenient (seqeval's default, compatible with the CoNLL-2000 script `conlleval`): I-PER after O begins an entity.
// Strict: only entities whose tags follow the scheme count.
import { type RowCounts, rowCountsOf } from './counts.ts'
import { type Figure, checkLength } from './values.ts'

/** Tokens `start` to `end`, both included. */
export interface Entity {
  readonly type: string
  readonly start: number
  readonly end: number
}

interface Tag {
  /** The tag's first character: B, I, O, E, S, …. */
  readonly prefix: string
  readonly type: string
}

const OUTSIDE: Tag = { prefix: 'O', type: '_' }

function readTag(text: string): Tag {
  const first = text.codePointAt(0)
  if (first === undefined) throw new RangeError('A tag is empty')
  const prefix = String.fromCodePoint(first)
  const rest = text.slice(prefix.length)
  // What follows the first dash; all of it without one.
  return { prefix, type: rest.slice(rest.indexOf('-') + 1) || '_' }
}

/** Previous and current prefix that end an entity of the same type. */
const LENIENT_ENDS = new Set(['BB', 'BS', 'BO', 'IB', 'IS', 'IO'])
/** Previous and current prefix that begin an entity of the same type; B and S always do. */
const LENIENT_STARTS = new Set(['EE', 'EI', 'SE', 'SI', 'OE', 'OI'])
/** Prefixes outside of entities: conlleval also has `.`. */
const isBetween = (prefix: string): boolean => prefix === 'O' || prefix === '.'

function lenientEntities(tags: readonly Tag[]): Entity[] {
  const entities: Entity[] = []
  let [previous, start] = [{ prefix: 'O', type: '' }, 0]
  for (const [i, tag] of [...tags, OUTSIDE].entries()) {
    const both = previous.prefix + tag.prefix
    const isOtherType = previous.type !== tag.type
    const ends =
      previous.prefix === 'E' ||
      previous.prefix === 'S' ||
      LENIENT_ENDS.has(both) ||
      (!isBetween(previous.prefix) && isOtherType)
    const starts =
      tag.prefix === 'B' || tag.prefix === 'S' || LENIENT_STARTS.has(both) || (!isBetween(tag.prefix) && isOtherType)
    if (ends) entities.push({ type: previous.type, start, end: i - 1 })
    if (starts) start = i
    previous = tag
  }
  return entities
}

/**
 * A tagging scheme. A rule lists the previous prefixes, the current prefixes, and whether the two types must be equal
 * (=) or different (≠). `*` is any prefix.
 */
interface Scheme {
  readonly prefixes: string
  readonly starts: readonly string[]
  readonly inside: readonly string[]
  /** What the last token of an entity and the token after it must satisfy. */
  readonly ends: readonly string[]
}

const SCHEMES = {
  IOB1: {
    prefixes: 'IOB',
    starts: ['O I', 'I I ≠', 'B I', 'I B =', 'B B ='],
    inside: ['BI I ='],
    ends: ['I I ≠', 'I OB', 'B O', 'B I ≠', 'B B ='],
  },
  IOB2: {
    prefixes: 'IOB',
    starts: ['* B'],
    inside: ['BI I ='],
    ends: ['BI OB', 'BI I ≠'],
  },
  IOE1: {
    prefixes: 'IOE',
    starts: ['O I', 'I I ≠', 'E I', 'E E ='],
    inside: ['I IE ='],
    ends: ['I I ≠', 'I O', 'I E ≠', 'E I =', 'E E ='],
  },
  IOE2: {
    prefixes: 'IOE',
    starts: ['OE IE', 'I IE ≠'],
    inside: ['I IE ='],
    ends: ['E *'],
  },
  IOBES: {
    prefixes: 'IOBES',
    starts: ['* BS'],
    inside: ['BI IE ='],
    ends: ['SE *'],
  },
  BILOU: {
    prefixes: 'BILOU',
    starts: ['* BU'],
    inside: ['BI IL ='],
    ends: ['UL *'],
  },
} as const satisfies Record<string, Scheme>

export type SchemeName = keyof typeof SCHEMES
export const SCHEME_NAMES = Object.keys(SCHEMES) as readonly SchemeName[]

const holds = (rules: readonly string[], previous: Tag, tag: Tag): boolean =>
  rules.some(rule => {
    const [before, now, types] = rule.split(' ')
    return (
      (before === '*' || before.includes(previous.prefix)) &&
      (now === '*' || now.includes(tag.prefix)) &&
      (types === undefined || (types === '=') === (previous.type === tag.type))
    )
  })

function strictEntities(tags: readonly Tag[], name: SchemeName): Entity[] {
  const { prefixes, starts, inside, ends }: Scheme = SCHEMES[name]
  const wrong = tags.find(({ prefix }) => !prefixes.includes(prefix))
  if (wrong) throw new RangeError(`A tag begins with ${wrong.prefix}; ${name} has ${[...prefixes].join(', ')}`)
  const all = [...tags, OUTSIDE]
  const entities: Entity[] = []
  let previous = OUTSIDE
  for (let start = 0; start < all.length;) {
    const first = all[start]
    let next = start + 1
    if (holds(starts, previous, first)) {
      while (next < all.length && holds(inside, all[next - 1], all[next])) next++
      if (holds(ends, all[next - 1], all[next])) entities.push({ type: first.type, start, end: next - 1 })
    }
    start = next
    previous = all[next - 1]
  }
  return entities
}

/** In strict mode, seqeval strips dashes from both ends of the type. */
const stripDashes = ({ prefix, type }: Tag, text: string): Tag => ({
  prefix,
  type: (type === '_' ? text.slice(prefix.length) : type).replace(/^-+|-+$/g, '') || '_',
})

/**
 * The entities of one sequence of tags: strict if a scheme is given, else lenient. Throws a RangeError on an empty tag,
 * and on a prefix that the scheme does not have.
 */
export function entitiesOf(tags: readonly string[], scheme?: SchemeName): Entity[] {
  const read = tags.map(readTag)
  return scheme
    ? strictEntities(
        read.map((tag, i) => stripDashes(tag, tags[i])),
        scheme,
      )
    : lenientEntities(read)
}

/** Counts per sequence, which add up to those of any selection of sequences. */
export interface TaggedSequences {
  /** Types of entities, sorted. */
  readonly types: readonly string[]
  /** `[sequences, types, 3]`: entities labelled and predicted, labelled, predicted. */
  readonly entities: Uint32Array
  /** `[sequences, 2]`: tokens whose tag was predicted, and all tokens. */
  readonly tokens: Uint32Array
}

/** Throws a RangeError unless both have the same number of sequences of the same lengths. */
function checkSequences(truth: readonly (readonly string[])[], predicted: readonly (readonly string[])[]): void {
  checkLength('predicted sequences', predicted.length, truth.length)
  truth.forEach((tags, i) => checkLength(`predicted tags of sequence ${i}`, predicted[i].length, tags.length))
}

/** Compares each sequence's predicted entities and tags with the true ones. */
export function compareSequences(
  truth: readonly (readonly string[])[],
  predicted: readonly (readonly string[])[],
  scheme?: SchemeName,
): TaggedSequences {
  checkSequences(truth, predicted)
  const labelled = truth.map(tags => entitiesOf(tags, scheme))
  const found = predicted.map(tags => entitiesOf(tags, scheme))
  const types = [...new Set([...labelled, ...found].flat().map(({ type }) => type))].sort()
  const indexOf = new Map(types.map((type, i) => [type, i]))
  const entities = new Uint32Array(truth.length * types.length * 3)
  const tokens = new Uint32Array(truth.length * 2)
  const keyOf = ({ type, start, end }: Entity): string => `${start} ${end} ${type}`
  for (let i = 0; i < truth.length; i++) {
    const at = ({ type }: Entity): number => (i * types.length + (indexOf.get(type) ?? 0)) * 3
    const known = new Set(labelled[i].map(keyOf))
    for (const entity of labelled[i]) entities[at(entity) + 1]++
    for (const entity of found[i]) {
      entities[at(entity) + 2]++
      if (known.has(keyOf(entity))) entities[at(entity)]++
    }
    tokens[2 * i] = truth[i].filter((tag, j) => tag === predicted[i][j]).length
    tokens[2 * i + 1] = truth[i].length
  }
  return { types, entities, tokens }
}

/** The sequences' entities by type. */
export function rowsOfEntities({ types, entities, tokens }: TaggedSequences): RowCounts {
  const most = entities.reduce((sum, count) => sum + count, 0)
  return rowCountsOf(tokens.length / 2, types.length, most, (row, add) => {
    for (let type = 0; type < types.length; type++) {
      const at = (row * types.length + type) * 3
      const [hits, labelled, predicted] = entities.subarray(at, at + 3)
      for (let i = 0; i < hits; i++) add(type, 0)
      for (let i = hits; i < labelled; i++) add(type, 1)
      for (let i = hits; i < predicted; i++) add(type, 2)
    }
  })
}

/**
 * The fraction of tokens whose tag was predicted, over the sequences at `indices`, or over all; undefined without
 * tokens.
 */
export function tagAccuracy({ tokens }: TaggedSequences, indices?: Uint32Array): Figure {
  let [right, all] = [0, 0]
  for (let row = 0; row < (indices?.length ?? tokens.length / 2); row++) {
    const at = 2 * (indices?.[row] ?? row)
    right += tokens[at]
    all += tokens[at + 1]
  }
  return all === 0 ? undefined : right / all
}
