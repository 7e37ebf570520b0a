// Unicode's normal forms in time linear in the text. `String.normalize` sorts each run of combining marks by insertion,
// which takes seconds for 80,000 in a row; here long runs are sorted by buckets first, and it has nothing left to move.

export type NormalForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD'

/** Marks in a row, and two letters that NFKD makes marks of. Not `+`, whose backtracking overflows the stack. */
const MARKS = /[\p{M}\uff9e\uff9f]{1,1000}/gu
/** The length, in UTF-16 units, from which on a run is sorted here. */
const LONG_RUN = 64
/** The mark of the highest combining class, 240, and the only one of it. */
const HIGHEST = '\u0345'

/** The same as `text.normalize(form)`. */
export function normalForm(text: string, form: NormalForm): string {
  if (text.length < LONG_RUN) return text.normalize(form)
  const decomposed = form === 'NFKC' || form === 'NFKD' ? 'NFKD' : 'NFD'
  const out: string[] = []
  let done = 0
  for (const [start, end] of longRuns(text)) {
    out.push(text.slice(done, start), sorted(text.slice(start, end), decomposed))
    done = end
  }
  return (done === 0 ? text : out.join('') + text.slice(done)).normalize(form)
}

/** Where long runs of marks begin and end, each with the character before it, whose own marks may belong to it. */
function* longRuns(text: string): Generator<readonly [start: number, end: number]> {
  let [start, end] = [0, 0]
  const isLong = (): boolean => end - start >= LONG_RUN
  const widened = (): [number, number] => {
    const pair = start >= 2 && /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(start - 2, start))
    return [Math.max(0, start - (pair ? 2 : 1)), end]
  }
  for (const {
    index,
    0: { length },
  } of text.matchAll(MARKS)) {
    if (index !== end) {
      if (isLong()) yield widened()
      start = index
    }
    end = index + length
  }
  if (isLong()) yield widened()
}

/** The run decomposed, with its marks in canonical order: stable, by combining class, between characters of class 0. */
function sorted(run: string, form: 'NFD' | 'NFKD'): string {
  const decompositions = new Map<string, readonly string[]>()
  const characters: string[] = []
  for (const character of run) {
    let parts = decompositions.get(character)
    if (!parts) decompositions.set(character, (parts = [...character.normalize(form)]))
    for (const part of parts) characters.push(part)
  }
  const rankOf = ranks([...new Set(characters)].filter(isMark))
  const buckets: string[][] = []
  const out: string[] = []
  const flush = (): void => {
    for (const bucket of buckets) {
      if (bucket) out.push(bucket.join(''))
    }
    buckets.length = 0
  }
  for (const character of characters) {
    const rank = rankOf.get(character)
    if (rank === undefined) {
      flush()
      out.push(character)
    } else (buckets[rank] ??= []).push(character)
  }
  flush()
  return out.join('')
}

/** Whether canonical ordering exchanges two characters that are decomposed already. */
const exchanged = (first: string, second: string): boolean => (first + second).normalize('NFD') !== first + second

/** Whether a character has a combining class other than 0. */
const isMark = (character: string): boolean => character === HIGHEST || exchanged(HIGHEST, character)

/** The order of marks by combining class, from 0 on; equal for equal classes. */
function ranks(marks: readonly string[]): Map<string, number> {
  const ordered = [...marks].sort((a, b) => (exchanged(a, b) ? 1 : exchanged(b, a) ? -1 : 0))
  let rank = 0
  return new Map(
    ordered.map((mark, i) => {
      if (i > 0 && exchanged(mark, ordered[i - 1])) rank++
      return [mark, rank]
    }),
  )
}
