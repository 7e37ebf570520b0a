// The words that tell one group of texts from the others: log-odds ratios with an informative Dirichlet prior (Monroe,
// Colaresi & Quinn 2008, "Fightin' Words"). The prior of a word is its count in all texts, which shrinks rare words
// towards no difference; words are compared by z-score, so that chance differences come last.

/** A word's use in a group of texts beside its use in all others. */
export interface WordOdds {
  readonly word: string
  /** Log of the ratio of the word's odds in the group to its odds elsewhere, shrunk by the prior. */
  readonly logOdds: number
  /** The same in standard deviations. */
  readonly z: number
  /** How often the word occurs in the group, and in the other texts. */
  readonly inside: number
  readonly outside: number
}

/** Words of fewer texts than this are left out: one long text would decide. */
export const LEAST_TEXTS = 3

/** Counts of words by group. A text, or a word, may belong to several groups or to none. */
export class WordCounts {
  readonly #groups: number
  readonly #ids = new Map<string, number>()
  readonly #overall: number[] = []
  readonly #texts: number[] = []
  /** The text that a word was last seen in. */
  readonly #last: number[] = []
  /** By word, then by group. */
  readonly #inside: number[] = []
  readonly #totals: number[]
  #total = 0
  #text = 0

  constructor(groups: number) {
    this.#groups = groups
    this.#totals = new Array<number>(groups).fill(0)
  }

  /** Different words. */
  get size(): number {
    return this.#ids.size
  }

  /** Counts the words of one text, all of which belong to these groups. */
  add(words: readonly string[], groups: readonly number[]): void {
    this.#text++
    for (const word of words) this.#count(word, groups)
  }

  /** Counts the words of one text, each of which belongs to groups of its own. */
  addEach(words: readonly (readonly [word: string, groups: readonly number[]])[]): void {
    this.#text++
    for (const [word, groups] of words) this.#count(word, groups)
  }

  #count(word: string, groups: readonly number[]): void {
    let id = this.#ids.get(word)
    if (id === undefined) {
      id = this.#ids.size
      this.#ids.set(word, id)
      this.#overall.push(0)
      this.#texts.push(0)
      this.#last.push(0)
      for (let group = 0; group < this.#groups; group++) this.#inside.push(0)
    }
    this.#overall[id]++
    this.#total++
    if (this.#last[id] !== this.#text) {
      this.#last[id] = this.#text
      this.#texts[id]++
    }
    for (const group of groups) {
      this.#inside[id * this.#groups + group]++
      this.#totals[group]++
    }
  }

  /** The `most` words with the largest z-scores for a group; only positive ones. */
  distinguishing(group: number, most: number): WordOdds[] {
    const found: WordOdds[] = []
    for (const [word, id] of this.#ids) {
      if (this.#texts[id] < LEAST_TEXTS) continue
      const odds = this.#oddsOf(word, id, group)
      if (odds.z > 0) found.push(odds)
    }
    return found.sort((a, b) => b.z - a.z || (a.word < b.word ? -1 : 1)).slice(0, most)
  }

  /** One word's odds; undefined if no text has it. */
  oddsOf(word: string, group: number): WordOdds | undefined {
    const id = this.#ids.get(word)
    return id === undefined ? undefined : this.#oddsOf(word, id, group)
  }

  #oddsOf(word: string, id: number, group: number): WordOdds {
    const prior = this.#overall[id]
    const inside = this.#inside[id * this.#groups + group]
    const outside = prior - inside
    const [insideAll, outsideAll] = [this.#totals[group], this.#total - this.#totals[group]]
    // The prior of all words together is their number. A word that is the only one has no odds: infinite on both sides.
    const logit = (count: number, all: number): number =>
      Math.log((count + prior) / (all + this.#total - count - prior))
    const logOdds = this.#ids.size === 1 ? 0 : logit(inside, insideAll) - logit(outside, outsideAll)
    const deviation = Math.sqrt(1 / (inside + prior) + 1 / (outside + prior))
    return { word, logOdds, z: logOdds / deviation, inside, outside }
  }
}
