// A baseline's numbers as tensors of a safetensors file, and back. What a file says is checked: it may come from
// anywhere.
import { UserError } from '../../engine/errors.ts'
import type { IntegerTensor, TensorFile, TensorToWrite } from '../../models/safetensors.ts'
import type { LinearModel } from './model.ts'
import type { BaselineSettings } from './settings.ts'
import { Vocabulary } from './vocabulary.ts'

/**
 * The tensors of a model: `words`, UTF-8 with a line break after each; `prefixes` and `lasts` of the longer n-grams;
 * `weights` [features + 1, outputs], biases last; and of TF-IDF `idf` [features].
 */
export function tensorsOf({ vocabulary, weighter, weights, outputs }: LinearModel): (TensorToWrite | IntegerTensor)[] {
  const { words, prefixes, lasts } = vocabulary.parts
  const text = new TextEncoder().encode(words.map(word => `${word}\n`).join(''))
  const { idf } = weighter
  return [
    { name: 'words', dtype: 'U8', shape: [text.length], data: text },
    { name: 'prefixes', dtype: 'U32', shape: [prefixes.length], data: prefixes },
    { name: 'lasts', dtype: 'U32', shape: [lasts.length], data: lasts },
    { name: 'weights', dtype: 'F32', shape: [vocabulary.size + 1, outputs], data: weights },
    ...(idf ? [{ name: 'idf', dtype: 'F32', shape: [idf.length], data: idf } as const] : []),
  ]
}

/** The model in a file. Throws a UserError, naming the tensor, on anything that `tensorsOf` would not have written. */
export async function modelFrom(
  file: TensorFile,
  { features, answers, model }: BaselineSettings,
): Promise<LinearModel> {
  const refuse = (name: string, why: string): never => {
    throw new UserError(`${file.where}: tensor ${name} ${why}`)
  }
  const text = new TextDecoder('utf-8', { fatal: true })
  const bytes = await stored(file, 'words', 'U8')
  let words: string[]
  try {
    words = text.decode(bytes).split('\n')
  } catch {
    return refuse('words', 'is not UTF-8')
  }
  if (words.pop() !== '' || new Set(words).size < words.length) refuse('words', 'is not a list of different words')
  const [prefixes, lasts] = [await integers(file, 'prefixes'), await integers(file, 'lasts')]
  if (prefixes.length !== lasts.length) refuse('lasts', `has ${lasts.length} numbers for ${prefixes.length} n-grams`)
  if (!prefixes.every((prefix, i) => prefix < words.length + i)) refuse('prefixes', 'names an n-gram after its own')
  if (!lasts.every(last => last < words.length)) refuse('lasts', `names a word beyond the ${words.length}`)
  const vocabulary = new Vocabulary({ words, prefixes, lasts })
  const { shape } = file.info('weights')
  const isBinary = answers.labels.length === 2 && answers.problem === 'single_label_classification'
  const outputs = isBinary ? 1 : answers.labels.length
  if (shape.length !== 2 || shape[0] !== vocabulary.size + 1 || shape[1] !== outputs)
    refuse('weights', `is [${shape.join(', ')}], not [${vocabulary.size + 1}, ${outputs}] as ${model} needs`)
  const weights = await file.read('weights')
  const idf = features.weighting === 'tfidf' ? await file.read('idf') : undefined
  if (idf && idf.length !== vocabulary.size) refuse('idf', `has ${idf.length} numbers for ${vocabulary.size} features`)
  return { vocabulary, weighter: { ...features, ...(idf && { idf }) }, weights, outputs }
}

async function stored(file: TensorFile, name: string, dtype: string): Promise<Uint8Array<ArrayBuffer>> {
  const info = file.info(name)
  if (info.dtype !== dtype || info.shape.length !== 1)
    throw new UserError(
      `${file.where}: tensor ${name} is ${info.dtype} [${info.shape.join(', ')}], not a list of ${dtype}`,
    )
  const bytes = new Uint8Array(info.shape[0] * (dtype === 'U32' ? 4 : 1))
  let at = 0
  for await (const piece of file.bytes(name)) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

const integers = async (file: TensorFile, name: string): Promise<Uint32Array> =>
  new Uint32Array((await stored(file, name, 'U32')).buffer)
