// Finds a tokenizer on disk: a tokenizer.json, a vocab.txt, or a folder that has one.
import { dirname, join } from 'node:path'
import { UserError } from '../../engine/errors.ts'
import type { ModelConfig } from '../config.ts'
import { FAMILIES, familyOf } from '../families.ts'
import { flagsOfBert, looksCased, tokenizerFromJson, tokenizerFromVocabulary, withFlags } from '../tokenizer.ts'
import type { Tokenizer, VocabularyOptions } from '../tokenizer.ts'
import { show } from '../show.ts'
import { exists, isFolder, readJson, readText, writeAtomic } from './files.ts'

/** Files that make a tokenizer, best first: a tokenizer.json says all, a vocab.txt needs its tokenizer_config.json. */
export const TOKENIZER_FILES: readonly string[] = ['tokenizer.json', 'vocab.txt']
const CONFIG_FILE = 'tokenizer_config.json'
/** Largest file of tokens: half a million of them take ten. */
const MOST_BYTES = 32 * 1024 * 1024

/**
 * Classes of Transformers that keep the tokens of a tokenizer.json and take all else from the tokenizer_config.json.
 */
const WITH_BERTS = FAMILIES.filter(({ hasBertTokenizer }) => hasBertTokenizer)
const CLASSES: readonly string[] = WITH_BERTS.flatMap(({ prefix }) => [`${prefix}Tokenizer`, `${prefix}TokenizerFast`])

/**
 * Loads from a file (`.txt` is a vocabulary, anything else a tokenizer.json) or a folder. Whether a vocab.txt is
 * lower-cased is read from the tokenizer_config.json beside it, else told by its lack of capitals. In a folder that
 * file has the last word on a tokenizer.json, too, where Transformers would go by it. Throws a UserError.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  if (await isFolder(path)) {
    const file = await tokenizerFile(path)
    if (file.endsWith('.txt')) return loadTokenizer(file)
    const json = await readJson(file, MOST_BYTES)
    const config = await readConfig(path)
    const goesByConfig =
      config &&
      (config.tokenizer_class === undefined ? await isOfBert(path) : CLASSES.includes(String(config.tokenizer_class)))
    return tokenizerFromJson(
      goesByConfig ? withFlags(json, flagsOf(config, join(path, CONFIG_FILE), true)) : json,
      file,
    )
  }
  if (!path.endsWith('.txt')) return tokenizerFromJson(await readJson(path, MOST_BYTES), path)
  const vocabulary = await readText(path, MOST_BYTES)
  const folder = dirname(path)
  return tokenizerFromVocabulary(
    vocabulary,
    flagsOf((await readConfig(folder)) ?? {}, join(folder, CONFIG_FILE), !looksCased(vocabulary)),
    path,
  )
}

/** Whether a folder's config.json is of a family with BERT's tokenizer. */
async function isOfBert(folder: string): Promise<boolean> {
  const path = join(folder, 'config.json')
  const config = (await exists(path)) ? await readJson(path) : undefined
  return (
    typeof config === 'object' &&
    config !== null &&
    'model_type' in config &&
    WITH_BERTS.some(({ name }) => name === config.model_type)
  )
}

/** The file of a folder that makes its tokenizer. Throws a UserError if there is none. */
export async function tokenizerFile(folder: string): Promise<string> {
  const file = await firstOf(folder)
  if (file === undefined) throw new UserError(`${folder} has no ${TOKENIZER_FILES.join(' and no ')}`)
  return file
}

export const hasTokenizer = async (folder: string): Promise<boolean> => (await firstOf(folder)) !== undefined

async function firstOf(folder: string): Promise<string | undefined> {
  for (const file of TOKENIZER_FILES) {
    if (await exists(join(folder, file))) return join(folder, file)
  }
  return undefined
}

/** Writes a tokenizer's files into a model's folder, for Transformers too, whose classes go by their own flags. */
export async function saveTokenizer(folder: string, { json }: Tokenizer, model: ModelConfig): Promise<void> {
  const ofBert = flagsOfBert(json)
  const config = {
    tokenizer_class: ofBert ? `${familyOf(model).prefix}Tokenizer` : 'PreTrainedTokenizerFast',
    ...(ofBert && {
      do_lower_case: ofBert.lowercase,
      strip_accents: ofBert.stripAccents ?? null,
      tokenize_chinese_chars: ofBert.splitChinese,
    }),
    model_max_length: model.maxPositions,
    cls_token: '[CLS]',
    sep_token: '[SEP]',
    pad_token: '[PAD]',
    unk_token: '[UNK]',
    mask_token: '[MASK]',
  }
  await writeAtomic(join(folder, 'tokenizer.json'), JSON.stringify(json))
  await writeAtomic(join(folder, CONFIG_FILE), `${JSON.stringify(config, null, 2)}\n`)
}

/** The tokenizer_config.json of a folder; undefined where it has none. */
async function readConfig(folder: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const path = join(folder, CONFIG_FILE)
  if (!(await exists(path))) return undefined
  const config = await readJson(path)
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw new UserError(`${path} is not a JSON object`)
  return { ...config }
}

/**
 * What a tokenizer_config.json says of the text's normalisation. Throws a UserError on other special tokens than
 * BERT's.
 */
function flagsOf(config: Readonly<Record<string, unknown>>, path: string, lowercase: boolean): VocabularyOptions {
  for (const name of ['cls', 'sep', 'pad', 'unk', 'mask']) {
    const value = config[`${name}_token`]
    const token = typeof value === 'object' && value !== null && 'content' in value ? value.content : value
    const expected = `[${name.toUpperCase()}]`
    if (token !== undefined && token !== null && token !== expected) {
      throw new UserError(`${path}: ${name}_token ${show(token)} is not supported, only ${expected}`)
    }
  }
  const flag = (name: string): boolean | undefined => {
    const value = config[name]
    if (value === undefined || value === null) return undefined
    if (typeof value === 'boolean') return value
    throw new UserError(`${path}: ${name} is ${show(value)}; true or false is expected`)
  }
  return {
    lowercase: flag('do_lower_case') ?? lowercase,
    stripAccents: flag('strip_accents'),
    splitChinese: flag('tokenize_chinese_chars'),
  }
}
