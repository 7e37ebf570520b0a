// Finds a tokenizer on disk: a tokenizer.json, a vocab.txt, or a folder that has one.
import { dirname, join } from 'node:path'
import { UserError } from '../../engine/errors.ts'
import type { ModelConfig } from '../config.ts'
import { looksCased, tokenizerFromJson, tokenizerFromVocabulary } from '../tokenizer.ts'
import type { Tokenizer, VocabularyOptions } from '../tokenizer.ts'
import { show } from '../show.ts'
import { exists, isFolder, readJson, readText, writeAtomic } from './files.ts'

/** Files that make a tokenizer, best first: a tokenizer.json says all, a vocab.txt needs its tokenizer_config.json. */
export const TOKENIZER_FILES: readonly string[] = ['tokenizer.json', 'vocab.txt']
const CONFIG_FILE = 'tokenizer_config.json'
/** Largest file of tokens: half a million of them take ten. */
const MOST_BYTES = 32 * 1024 * 1024

/**
 * Loads from a file (`.txt` is a vocabulary, anything else a tokenizer.json) or a folder. Whether a vocab.txt is
 * lower-cased is read from the tokenizer_config.json beside it, else told by its lack of capitals. Throws a UserError.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  if (await isFolder(path)) return loadTokenizer(await tokenizerFile(path))
  if (!path.endsWith('.txt')) return tokenizerFromJson(await readJson(path, MOST_BYTES), path)
  const vocabulary = await readText(path, MOST_BYTES)
  return tokenizerFromVocabulary(vocabulary, await vocabularyOptions(vocabulary, dirname(path)), path)
}

/** The file of a folder that makes its tokenizer. Throws a UserError where there is none. */
export async function tokenizerFile(folder: string): Promise<string> {
  for (const file of TOKENIZER_FILES) {
    if (await exists(join(folder, file))) return join(folder, file)
  }
  throw new UserError(`${folder} has no ${TOKENIZER_FILES.join(' and no ')}`)
}

/** Writes a tokenizer's files into a model's folder, for Transformers too, whose classes go by their own flags. */
export async function saveTokenizer(folder: string, { json }: Tokenizer, { family, maxPositions }: ModelConfig): Promise<void> {
  const { normalizer } = json as { normalizer?: { type?: string, lowercase?: boolean, strip_accents?: boolean | null, handle_chinese_chars?: boolean } }
  const ofBert = normalizer?.type === 'BertNormalizer' ? normalizer : undefined
  const config = {
    tokenizer_class: ofBert ? (family === 'distilbert' ? 'DistilBertTokenizer' : 'BertTokenizer') : 'PreTrainedTokenizerFast',
    ...(ofBert && {
      do_lower_case: ofBert.lowercase, strip_accents: ofBert.strip_accents ?? null, tokenize_chinese_chars: ofBert.handle_chinese_chars,
    }),
    model_max_length: maxPositions,
    cls_token: '[CLS]', sep_token: '[SEP]', pad_token: '[PAD]', unk_token: '[UNK]', mask_token: '[MASK]',
  }
  await writeAtomic(join(folder, 'tokenizer.json'), JSON.stringify(json))
  await writeAtomic(join(folder, CONFIG_FILE), `${JSON.stringify(config, null, 2)}\n`)
}

async function vocabularyOptions(vocabulary: string, folder: string): Promise<VocabularyOptions> {
  const path = join(folder, CONFIG_FILE)
  const config = (await exists(path)) ? await readJson(path) : {}
  if (typeof config !== 'object' || config === null) throw new UserError(`${path} is not a JSON object`)
  const flag = (name: string): boolean | undefined => {
    const value = Object.hasOwn(config, name) ? (config as Record<string, unknown>)[name] : undefined
    if (value === undefined || value === null) return undefined
    if (typeof value === 'boolean') return value
    throw new UserError(`${path}: ${name} is ${show(value)}; true or false is expected`)
  }
  return {
    lowercase: flag('do_lower_case') ?? !looksCased(vocabulary),
    stripAccents: flag('strip_accents'),
    splitChinese: flag('tokenize_chinese_chars'),
  }
}
