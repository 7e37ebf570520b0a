// The README.md beside a pretrained model: what it is, what it was made of and how, how good it is at what it was
// trained for, and what it is not for.
import { familyOf } from '../../../../models/families.ts'
import type { ModelConfig } from '../../../../models/index.ts'
import { count, counted } from '../../../counts.ts'
import type { MaskedDistillation } from '../../../tasks/distilled-masked-lm.ts'
import { percent } from '../../cli/console.ts'
import { showDuration } from '../../cli/progress.ts'

/** What a card tells. */
export interface Card {
  readonly name: string
  readonly config: ModelConfig
  readonly parameters: number
  /** Whether capitals count; undefined if the tokenizer is not BERT's. */
  readonly cased: boolean | undefined
  /** The model that was continued from, by its name. */
  readonly base: string | undefined
  /** The model that it learned from, by its name, and how. */
  readonly teacher: ({ readonly name: string } & MaskedDistillation) | undefined
  /** Whether its word embeddings began as factors of counts. */
  readonly counted: boolean
  /** Weight of the loss of whole texts; 0 for none. */
  readonly textLoss: number
  /** Where the texts come from, in a few words. */
  readonly source: string
  readonly texts: { readonly train: number; readonly held: number }
  readonly rows: { readonly train: number; readonly held: number }
  /** Tokens of the training rows, special ones included. */
  readonly tokens: number
  /** Share of the tokens that is masked. */
  readonly masked: number
  /** The command that makes it again. */
  readonly command: string
  readonly steps: number
  readonly epochs: number
  readonly seconds: number
  readonly adapter: string
  readonly versions: { readonly tilegrad: string; readonly webgpu: string; readonly node: string }
  /** Mean loss of the last steps. */
  readonly loss: number | undefined
  readonly evaluations: readonly Evaluated[]
  /** The step whose values were kept. */
  readonly best: number | undefined
}

/** An evaluation on the held-out texts. */
export interface Evaluated {
  readonly step: number
  readonly loss: number
  readonly accuracy: number
}

/** Evaluations that are listed, of many. */
const LISTED = 12

/** The card as Markdown, with the front matter that the Hub reads. */
export function modelCard(card: Card): string {
  return `${[
    `---\nlibrary_name: transformers\npipeline_tag: fill-mask\ntags:\n- ${card.config.family}\n- tilegrad\n---`,
    `# ${card.name}`,
    summary(card),
    '## Data',
    data(card),
    '## Training',
    training(card),
    embeddings(card),
    texts(card),
    teacher(card),
    evaluations(card),
    '## How to make it again',
    `\`\`\`sh\n${card.command}\n\`\`\``,
    'The same version on the same adapter and driver gives the same bits.',
    '## How to use it',
    use(card),
    '## What it is not for',
    limits(card),
  ]
    .filter(part => part !== '')
    .join('\n\n')}\n`
}

function summary({ config, parameters, cased, base }: Card): string {
  const { layers, hidden, heads, vocabSize, maxPositions } = config
  const capitals = cased === undefined ? '' : cased ? ', cased' : ', uncased'
  return (
    `A ${familyOf(config).prefix.replace('Bert', 'BERT')} of ${counted(layers, 'layer')}, ${count(hidden)} wide, ` +
    `with ${counted(heads, 'attention head')}, ` +
    `${count(parameters)} parameters, a vocabulary of ${count(vocabSize)} tokens${capitals}, and texts of up to ` +
    `${count(maxPositions)} tokens. It was ${base === undefined ? 'pretrained from fresh weights' : `continued from ${base}`} ` +
    'with tilegrad to predict masked tokens (Devlin et al. 2019).'
  )
}

function data({ source, texts, rows, tokens, masked }: Card): string {
  return (
    `${source}. Trained on ${counted(texts.train, 'text')}, in ${counted(rows.train, 'row')} of ${count(tokens)} tokens in all; ` +
    `held out: ${counted(texts.held, 'text')}, in ${counted(rows.held, 'row')}. Of the tokens ${percent(masked, 0)} were masked, ` +
    'whole words, drawn anew in each epoch. The texts themselves are not part of this model.'
  )
}

function training({ steps, epochs, seconds, adapter, versions, loss }: Card): string {
  const last = loss === undefined ? '' : ` The mean training loss of the last steps was ${loss.toFixed(4)}.`
  return (
    `${counted(steps, 'step')}, the last in epoch ${epochs}, ${showDuration(seconds)} on ${adapter} ` +
    `(tilegrad ${versions.tilegrad}, webgpu ${versions.webgpu}, Node ${versions.node}).${last}`
  )
}

const embeddings = ({ counted: begins }: Card): string =>
  begins
    ? 'Its word embeddings began as factors of the positive pointwise mutual information of tokens that stand near each ' +
      'other or in the same row (Levy & Goldberg 2014).'
    : ''

const texts = ({ textLoss }: Card): string =>
  textLoss === 0
    ? ''
    : 'Beside the masked tokens it learned to predict all tokens of a text from the pooled output alone (weight ' +
      `${textLoss}; Xiao et al. 2023), so its pooler is trained, too.`

function teacher({ teacher: learned }: Card): string {
  if (!learned) return ''
  const { name, weight, temperature, hidden } = learned
  const states = hidden === 0 ? '' : `, and its hidden states (factor ${hidden}; Sanh et al. 2019, Jiao et al. 2020)`
  return (
    `It was distilled from ${name}: beside the masked tokens it learned the predictions of that model for them ` +
    `(${percent(weight, 0)} of the loss, at temperature ${temperature}; Hinton et al. 2015)${states}.`
  )
}

function evaluations({ evaluations: all, best, config }: Card): string {
  if (all.length === 0) return 'No texts were held out, so nothing is known of how well it predicts.'
  const every = Math.ceil(all.length / LISTED)
  const listed = all.filter(({ step }, i) => i % every === 0 || i === all.length - 1 || step === best)
  const lines = listed.map(
    ({ step, loss, accuracy }) =>
      `| ${count(step)}${step === best ? ' (kept)' : ''} | ${loss.toFixed(4)} | ${percent(accuracy)} |`,
  )
  return [
    'On the held-out texts, at their masked tokens:',
    `| after step | loss | predicted |\n|---|---|---|\n${lines.join('\n')}`,
    `A uniform guess has a loss of ${Math.log(config.vocabSize).toFixed(4)}.`,
  ].join('\n\n')
}

const use = ({ config }: Card): string =>
  'As a base to fine-tune, with `tilegrad fine-tune --model <this folder>`, or with Transformers, which loads the folder ' +
  `(\`${familyOf(config).prefix}ForMaskedLM\`, \`${familyOf(config).prefix}ForSequenceClassification\` …). Weights are stored in half precision.`

function limits({ source }: Card): string {
  return (
    'It has seen no other texts than these, so it knows their language, topics and prejudices and no others; on texts of ' +
    'another kind a model that was pretrained on more is the better base. It is not a source of facts, does not ' +
    'generate text, and has to be fine-tuned before it answers anything. Do not report its scores on texts that it was trained on ' +
    `(${source.split('; ')[0]}).`
  )
}
