// N-grams as integers: the same as counting strings, for any documents, lengths and limits.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  BOUNDARY,
  CorpusBuilder,
  type Corpus,
  Vocabulary,
  learnVocabulary,
  selectDocuments,
} from '../../../train/baseline/vocabulary.ts'

type Documents = readonly (readonly string[])[]

function corpusOf(documents: Documents): Corpus {
  const builder = new CorpusBuilder()
  for (const words of documents) builder.add(words)
  return builder.build()
}

/** All n-grams of a document as strings, each time that it occurs. */
const ngramsOf = (words: readonly string[], longest: number): string[] =>
  words
    .flatMap((_, from) =>
      Array.from({ length: Math.min(longest, words.length - from) }, (_, more) => words.slice(from, from + more + 1)),
    )
    .filter(ngram => !ngram.includes(BOUNDARY))
    .map(ngram => ngram.join(' '))

const word = fc.constantFrom('a', 'b', 'c', 'd', BOUNDARY)
const documents = fc.array(fc.array(word, { maxLength: 12 }), { minLength: 1, maxLength: 8 })

/** Counts of a document by the names of the features. */
function counted(vocabulary: Vocabulary, corpus: Corpus, row: number): Record<string, number> {
  const { starts, indices, values } = vocabulary.count(corpus)
  const names = Array.from(indices.subarray(starts[row], starts[row + 1]), i => vocabulary.nameOf(i))
  expect(new Set(names).size, 'each feature once in a row').toBe(names.length)
  return Object.fromEntries(names.map((name, i) => [name, values[starts[row] + i]]))
}

test('n-grams in enough documents are kept, and counted in any documents', () => {
  fc.assert(
    fc.property(
      documents,
      documents,
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 3 }),
      (train, other, longest, minDocuments) => {
        const frequency = new Map<string, number>()
        for (const words of train)
          for (const ngram of new Set(ngramsOf(words, longest))) frequency.set(ngram, (frequency.get(ngram) ?? 0) + 1)
        const kept = new Set([...frequency].filter(([, count]) => count >= minDocuments).map(([ngram]) => ngram))
        const vocabulary = learnVocabulary(corpusOf(train), { longest, minDocuments })
        expect(new Set(Array.from({ length: vocabulary.size }, (_, i) => vocabulary.nameOf(i)))).toEqual(kept)
        for (const set of [train, other]) {
          const corpus = corpusOf(set)
          set.forEach((words, row) => {
            const wanted: Record<string, number> = {}
            for (const ngram of ngramsOf(words, longest)) if (kept.has(ngram)) wanted[ngram] = (wanted[ngram] ?? 0) + 1
            expect(counted(vocabulary, corpus, row)).toEqual(wanted)
          })
        }
      },
    ),
  )
})

test('the most frequent are kept with all their parts', () => {
  fc.assert(
    fc.property(documents, fc.integer({ min: 1, max: 20 }), (train, maxFeatures) => {
      const all = learnVocabulary(corpusOf(train), { longest: 3, minDocuments: 1 })
      const some = learnVocabulary(corpusOf(train), { longest: 3, minDocuments: 1, maxFeatures })
      expect(some.size).toBe(Math.min(maxFeatures, all.size))
      const totals = new Map<string, number>()
      for (const words of train) for (const ngram of ngramsOf(words, 3)) totals.set(ngram, (totals.get(ngram) ?? 0) + 1)
      const kept = new Set(Array.from({ length: some.size }, (_, i) => some.nameOf(i)))
      const least = Math.min(...[...kept].map(name => totals.get(name) ?? 0))
      for (const [name, total] of totals) if (!kept.has(name)) expect(total).toBeLessThanOrEqual(least)
      for (const name of kept) for (const part of ngramsOf(name.split(' '), 3)) expect(kept.has(part), part).toBe(true)
    }),
  )
})

test('a vocabulary made again from its parts counts the same', () => {
  const train = [['a', 'b', 'c'], ['b', 'c', 'a', 'b'], []]
  const vocabulary = learnVocabulary(corpusOf(train), { longest: 3, minDocuments: 1 })
  expect(new Vocabulary(vocabulary.parts).count(corpusOf(train))).toEqual(vocabulary.count(corpusOf(train)))
})

test('selected documents are those documents', () => {
  const corpus = corpusOf([['a'], ['b', 'c'], [], ['c', 'a']])
  const { ids, starts, words } = selectDocuments(corpus, [3, 2, 1])
  expect(Array.from(ids, id => words[id])).toEqual(['c', 'a', 'b', 'c'])
  expect([...starts]).toEqual([0, 2, 2, 4])
})

test('tens of thousands of n-grams, which make the tables grow, keep their numbers apart', () => {
  const train = [Array.from({ length: 40_000 }, (_, i) => `w${(i * i) % 257}`)]
  const vocabulary = learnVocabulary(corpusOf(train), { longest: 3, minDocuments: 1 })
  const { values } = vocabulary.count(corpusOf(train))
  expect(vocabulary.size).toBe(new Set(ngramsOf(train[0], 3)).size)
  expect(values.reduce((sum, value) => sum + value, 0)).toBe(3 * 40_000 - 3)
})
