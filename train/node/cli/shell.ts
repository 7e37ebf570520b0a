// What passes between a run and the user's shell: signals, and commands to type.

/** Signals that come together are one: a terminal sends Ctrl-C to npm and to this process, and npm passes it on. */
const SAME_SIGNAL_MS = 1000

/** Ctrl-C, and how schedulers end a job: the first calls `stop`, another one ends the process at once. */
export function stopOnSignals(stop: () => void): { status(): number, end(): void } {
  let first: { readonly at: number, readonly status: number } | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    if (!first) {
      process.stderr.write('\nFinishing this step and writing a checkpoint; again to end at once.\n')
      first = { at: performance.now(), status: signal === 'SIGTERM' ? 143 : 130 }
      stop()
    } else if (performance.now() - first.at > SAME_SIGNAL_MS) {
      end()
      process.kill(process.pid, signal)
    }
  }
  const end = (): void => void process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal)
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return { status: () => first?.status ?? 0, end }
}

/** A command for the user's shell, run by the Node that came with the packages. */
export function command(...args: readonly string[]): string {
  const quote = (text: string): string => (/^[\w=./:,@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
  return ['npx node train/imdb.ts', ...args.map(quote)].join(' ')
}
