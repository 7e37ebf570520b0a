// A run's settings as a person would say them.
import { counted } from '../../counts.ts'
import type { ScheduleName } from '../../schedules.ts'
import type { Options } from '../cli/options.ts'
import { number } from './html.ts'

const DECAYS: Readonly<Record<ScheduleName, string>> = {
  linear: ', decaying linearly',
  cosine: ', decaying as a cosine',
  constant: '',
}

const TARGETS: Readonly<Record<string, string>> = { mlp: 'MLP', head: 'classifier' }

/** `a, b and c` */
function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`
}

function trained({ tune, loraRank, loraAlpha, loraDropout, loraTargets, trainHead }: Options): string {
  if (tune === 'full') return 'Every parameter is trained'
  if (tune === 'head') return 'Only the classifier is trained'
  // Words alone make a list; anything else is a regular expression.
  const words = loraTargets.split(',').map(word => word.trim())
  const isList = words.every(word => /^[a-z]+$/i.test(word))
  const places = isList ? listed(words.map(word => TARGETS[word] ?? word)) : `parameters named ${loraTargets}`
  const dropout = loraDropout > 0 ? `, dropout ${number(loraDropout)}` : ''
  const head = trainHead ? ' and the classifier are' : ' are'
  return `LoRA adapters of rank ${loraRank} (alpha ${number(loraAlpha)}${dropout}) on ${places}${head} trained`
}

/** What was trained, for how long, how fast, on texts of which length. */
export function settingSentence(options: Options): string {
  const { epochs, batchSize, batchTokens, accumulate, lr, schedule, warmup, maxLength, window, seed } = options
  const batches = batchTokens === undefined ? counted(batchSize, 'text') : counted(batchTokens, 'token')
  const together = accumulate > 1 ? `, ${accumulate} batches a step` : ''
  const rising =
    warmup === 0
      ? ''
      : ` after a warm-up of ${warmup < 1 ? `${number(100 * warmup)} % of the steps` : counted(warmup, 'step')}`
  const rate = `a peak learning rate of ${lr < 0.01 ? lr.toExponential() : number(lr)}${DECAYS[schedule]}${rising}`
  const longer =
    window === undefined
      ? 'longer ones are cut'
      : `longer ones are read in windows that share ${counted(window, 'token')}`
  return (
    `${trained(options)} for ${counted(epochs, 'epoch')} in batches of ${batches}${together}, with ${rate}. ` +
    `Texts have at most ${counted(maxLength, 'token')}; ${longer}. Seed ${seed}.`
  )
}
