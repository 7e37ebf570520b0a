// The machine's adapters: `tilegrad adapters` and --list-adapters show them.
import { listAdapters } from '../../../engine/node/adapters.ts'
import { SETUP } from '../../../engine/node/installed.ts'
import { Console } from './console.ts'
import { print } from './output.ts'
import { flag, helpOf, parseTable } from './table.ts'
import { TILEGRAD } from '../package.ts'

/** Lists the adapters, one a line. */
export async function showAdapters(console: Console): Promise<void> {
  const adapters = await listAdapters()
  for (const { name, backend, driver, fallback, embedded } of adapters) {
    console.say(
      `${name}  (${[backend, driver, fallback ? 'software' : 'GPU', embedded ? 'embedded' : ''].filter(Boolean).join(', ')})`,
    )
  }
  if (adapters.length === 0) console.say(`No adapters found. \`${SETUP}\` fetches one that runs on the CPU.`)
  console.result({ adapters })
}

const groups = {
  Options: {
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
    help: flag('print this help and exit'),
  },
}

/** `tilegrad adapters`. */
export async function adapters(argv: readonly string[]): Promise<number> {
  const { help, json } = parseTable(groups, argv)
  if (help) await print(helpOf(groups, `${TILEGRAD} adapters [options]`, 'Lists the adapters that --adapter can name.'))
  else await showAdapters(new Console(json))
  return 0
}
