// `tilegrad export --merge`: what was trained as a plain model folder.
import { UserError } from '../../../engine/errors.ts'
import { exportMerged } from '../jobs/export.ts'
import { transformerAt } from '../jobs/predict.ts'
import { openNamed } from '../device.ts'
import { Console } from './console.ts'
import { print } from './output.ts'
import { count, flag, helpOf, optional, parseTable, text } from './table.ts'
import { TRANSFORMER_SAYS, modelOf, modelOptions } from './trained.ts'
import { TILEGRAD } from '../package.ts'
import { describeTrouble, isDiskTrouble } from '../run/failures.ts'
import { refuseUnwritable } from '../run/folder.ts'

const { base, revision, adapter } = modelOptions
const groups = {
  Options: {
    merge: flag('merge the adapter into the weights (required: the only form of export)'),
    out: optional(text('FOLDER', 'a folder'), 'the folder to write; it must not exist yet'),
    step: optional(
      count(1),
      'take the values of a run after this step; result.json lists those that --keep-best kept',
      'the best',
    ),
    best: optional(count(1), 'take the best values of a run (1), the second best (2) and so on', '1'),
    base,
    revision,
    adapter,
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
    help: flag('print this help and exit'),
  },
}

/** Runs the command. Gives the exit status. Throws a UserError if options or the model are wrong. */
export async function exportCommand(argv: readonly string[]): Promise<number> {
  const options = parseTable(groups, argv, { positionals: true })
  if (options.help) {
    await print(
      helpOf(
        groups,
        `${TILEGRAD} export <model> --merge --out FOLDER`,
        `Writes a plain model folder, which Transformers loads without PEFT.\n${TRANSFORMER_SAYS}`,
      ),
    )
    return 0
  }
  const source = modelOf('export', options.positionals)
  const [, stray] = options.positionals
  if (stray !== undefined) throw new UserError(`Unexpected argument ${JSON.stringify(stray)}: export takes one model`)
  await transformerAt(source)
  if (!options.merge) throw new UserError('export needs --merge: an adapter is exported merged into its base')
  if (options.out === undefined) throw new UserError('export needs --out, the folder to write')
  const { step, best } = options
  if (step !== undefined && best !== undefined) throw new UserError('--step and --best exclude each other')
  const chosen = step !== undefined ? { step } : best !== undefined ? { best } : undefined
  const { out } = options
  await refuseUnwritable(out, 'the folder')
  await openNamed(options.adapter, false)
  await exportMerged(source, out, options, chosen).catch((error: unknown) => {
    throw isDiskTrouble(error) ? new UserError(describeTrouble(error, out)) : error
  })
  const console = new Console(options.json)
  console.say(`Model: ${options.out}`)
  console.result({ folder: options.out })
  return 0
}
