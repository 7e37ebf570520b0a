// Options of several commands, and kinds of their values: how texts are read and cut, and the adapter.
import { decoderFor } from '../../data/bytes.ts'
import { type Kind, count, flag, number, optional, text } from './table.ts'

/** How many tokens windows share, or `off`. */
export const window: Kind<number | 'off'> = {
  shown: 'N|off',
  expects: `${count(0).expects}, or off`,
  read: value => (value === 'off' ? value : count(0).read(value)),
}

/** The separator of several labels in one string. */
export const labelSeparator = optional(
  text('C', 'one or more characters'),
  'several labels at once: what separates them in a string, such as ; or |',
  'a string is one label',
)

/** A label of the Encoding Standard. */
export const encoding: Kind<string> = {
  shown: 'NAME',
  expects: 'an encoding, such as utf-8, windows-1252, utf-16le or shift_jis',
  read: value => {
    try {
      return decoderFor(value).encoding
    } catch {
      return undefined
    }
  },
}

/** The option that names an adapter, for every command that computes. */
export const adapterOption = optional(
  text('NAME', "part of an adapter's name"),
  "part of an adapter's name",
  'the fastest available',
)

export const tensorboard = flag("also write the metrics as TensorBoard's events, into tensorboard/ in the run's folder")

/** Sharper or softer than this, and a softmax in f32 says nothing but which class is the largest, or nothing at all. */
const TEMPERATURES = { least: 0.01, most: 1000 } as const

/** What softens the answers of student and teacher alike before they are compared. */
export const temperature: Kind<number> = number(
  `a number from ${TEMPERATURES.least} to ${TEMPERATURES.most}`,
  value => value >= TEMPERATURES.least && value <= TEMPERATURES.most,
)

/** A share of a whole. */
export const share: Kind<number> = number('a number from 0 to 1', value => value >= 0 && value <= 1)
