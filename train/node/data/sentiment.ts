// How people write the two classes of reviews, where a file gives its labels no names.

const SPELLINGS: ReadonlyMap<string, 'negative' | 'positive'> = new Map([
  ['0', 'negative'],
  ['neg', 'negative'],
  ['negative', 'negative'],
  ['1', 'positive'],
  ['pos', 'positive'],
  ['positive', 'positive'],
])

/**
 * The class of reviews that a label stands for, in any case and with spaces around it; undefined for any other label.
 */
export function sentimentOf(label: string | number | boolean): 'negative' | 'positive' | undefined {
  // Whether something is true says nothing of sentiment.
  if (typeof label === 'boolean') return undefined
  return SPELLINGS.get(String(label).trim().toLowerCase())
}
