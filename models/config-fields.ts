// The fields of the Hub's config.json that families share: their ranges, their defaults, and how they are read and
// written.
import { z } from 'zod'
import { UserError } from '../engine/errors.ts'
import type { Activation, ModelConfig } from './config.ts'
import { show } from './show.ts'

/** Names in config.json on the left; the first name of ours on the right is what we write back. */
export const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  relu: 'relu',
  tanh: 'tanh',
}

/**
 * A whole number from 1 to `most`: each bound is far above every published model, and keeps what it sizes in memory.
 */
const upTo = (most: number) =>
  z
    .int()
    .min(1)
    .max(most, `at most ${most.toLocaleString('en-US')} is supported`)
export const counts = {
  vocabulary: upTo(10_000_000),
  width: upTo(65_536),
  intermediate: upTo(1_048_576),
  layers: upTo(1_000),
  heads: upTo(4_096),
  positions: upTo(1_048_576),
  types: upTo(65_536),
  labels: upTo(100_000),
}
export const rate = z.number().min(0).lt(1)
export const activation = z.string().refine(name => Object.hasOwn(ACTIVATIONS, name), {
  error: ({ input }) => `${show(input)} is not one of ${Object.keys(ACTIVATIONS).join(', ')}`,
})
export const epsilon = z.number().positive()

/** What all families have. Defaults here and below are those of Transformers. */
export const commonFields = {
  _name_or_path: z.string().nullish(),
  vocab_size: counts.vocabulary.default(30522),
  max_position_embeddings: counts.positions.default(512),
  pad_token_id: z.int().min(0).nullish(),
  initializer_range: z.number().min(0).max(1e6).default(0.02),
  // `labelsOf` checks it: zod makes an issue of every wrong name, which takes more memory than the file.
  id2label: z.unknown().optional(),
  num_labels: counts.labels.nullish(),
}

/** `id2label` if there is one, else as many generic names as `num_labels` says, else two. */
function labelsOf(fields: { id2label?: unknown; num_labels?: number | null }, where: string): string[] {
  const { id2label = null } = fields
  if (id2label === null) return genericLabels(fields.num_labels ?? 2)
  if (typeof id2label !== 'object' || Array.isArray(id2label)) {
    throw new UserError(`${where}: id2label: ${show(id2label)} is not an object of names by number`)
  }
  const names = new Map<string, unknown>(Object.entries(id2label))
  if (names.size === 0) return genericLabels(fields.num_labels ?? 2)
  const count = counts.labels.safeParse(names.size)
  if (!count.success) throw new UserError(`${where}: id2label: ${names.size} names: ${count.error.issues[0].message}`)
  return Array.from({ length: names.size }, (_, id) => {
    const label = names.get(String(id))
    if (label === undefined) throw new UserError(`${where}: id2label has ${names.size} entries, but none for ${id}`)
    // Names may be numbers, as they are where a data set's own labels were taken for names.
    if (typeof label !== 'string' && typeof label !== 'number' && typeof label !== 'boolean') {
      throw new UserError(`${where}: id2label.${id}: ${show(label)} is not a name`)
    }
    return String(label)
  })
}

function genericLabels(size: number): string[] {
  return Array.from({ length: size }, (_, id) => `LABEL_${id}`)
}

/** Fields of `ModelConfig` that every family reads alike. */
export function readCommon(
  fields: z.output<z.ZodObject<typeof commonFields>>,
  where: string,
): Pick<ModelConfig, 'vocabSize' | 'maxPositions' | 'padTokenId' | 'labels' | 'initializerRange'> {
  return {
    vocabSize: fields.vocab_size,
    maxPositions: fields.max_position_embeddings,
    padTokenId: fields.pad_token_id ?? 0,
    labels: labelsOf(fields, where),
    initializerRange: fields.initializer_range,
  }
}

/** The same fields as Transformers names them. */
export function writeCommon(config: ModelConfig): Record<string, unknown> {
  return {
    _name_or_path: config.name,
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxPositions,
    pad_token_id: config.padTokenId,
    initializer_range: config.initializerRange,
    id2label: Object.fromEntries(config.labels.map((label, id) => [String(id), label])),
    label2id: Object.fromEntries(config.labels.map((label, id) => [label, id])),
    torch_dtype: 'float32',
  }
}

/** What Transformers calls an activation. */
export const activationName = (activation: Activation): string | undefined =>
  Object.keys(ACTIVATIONS).find(name => ACTIVATIONS[name] === activation)
