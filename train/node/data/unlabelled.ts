// Texts without labels, for pretraining.
import { UserError } from '../../../engine/errors.ts'
import { type RawExample, readExamples } from '../../data/examples.ts'
import { type Table, placeOf, showCell } from '../../data/table.ts'
import { findSplits } from './layout.ts'

/**
 * Loads the split `unsupervised` of a folder in the Hub's layout, except the texts that are also in its test split
 * (`dropped` rows): a model must not be pretrained on what it will be tested on.
 * @throws UserError, naming file and row, on anything that cannot be read, and where either split is missing
 */
export async function loadUnlabelled(path: string): Promise<{ texts: string[]; dropped: number; source: string }> {
  const { splits } = await findSplits(path).catch((error: unknown): { splits: ReadonlyMap<string, Table> } => {
    if (error instanceof UserError && error.message.includes('is not a data folder')) return { splits: new Map() }
    throw error
  })
  const [unsupervised, test] = [splits.get('unsupervised'), splits.get('test')]
  if (!unsupervised || !test) {
    throw new UserError(
      `${path} is not a folder with Parquet files for unsupervised and test, such as IMDb's from the Hub`,
    )
  }
  const tested = new Set(await textsOf(test))
  const all = await textsOf(unsupervised)
  const texts = all.filter(text => !tested.has(text))
  return { texts, dropped: all.length - texts.length, source: `${path} (Parquet, unsupervised)` }
}

async function textsOf(table: Table): Promise<string[]> {
  const { examples } = await readExamples(table, { pairColumn: null, labelColumn: null })
  return examples.map(textOf)
}

function textOf(example: RawExample): string {
  if (typeof example.text === 'string') return example.text
  throw new UserError(`${placeOf(example)}: no text, but ${showCell(example.text)}`)
}
