// Overviews as `tilegrad overview` computes them, in the test's own process.
import { parseOptions } from '../../train/node/cli/options.ts'
import { MAX_LENGTHS, overviewOf } from '../../train/node/jobs/overview.ts'
import { openOverview } from '../../train/node/jobs/overview/open.ts'
import type { Overview } from '../../train/node/jobs/overview/result.ts'

/** The overview that `tilegrad overview` gives with these options of fine-tuning, by the bundled model's tokenizer. */
export async function overviewAt(
  args: readonly string[],
  maxLengths: readonly number[] = MAX_LENGTHS,
): Promise<Overview> {
  const options = parseOptions(args, 'tilegrad')
  const opened = await openOverview(options, () => undefined)
  return overviewOf(opened, options, maxLengths, () => undefined)
}
