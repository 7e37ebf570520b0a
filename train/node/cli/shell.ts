// What passes between a run and the user's shell: signals, and commands to type.
import { COMMANDS, type Preset } from './options.ts'

/** Signals that come together are one: a terminal sends Ctrl-C to npm and to this process, and npm passes it on. */
const SAME_SIGNAL_MS = 1000

/** Signals that ask a run to stop, by Ctrl-C, a scheduler or a closed terminal, with the exit status after each. */
const STATUS_AFTER = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
type StopSignal = keyof typeof STATUS_AFTER
const STOP_SIGNALS = Object.keys(STATUS_AFTER) as StopSignal[]

/** What is known of the signals that came. */
export interface StopRequest {
  /** Whether one came. */
  readonly requested: boolean
  /** The exit status after the one that came first; 0 while none has. */
  readonly status: number
  /** Stops listening. */
  end(): void
}

/**
 * Listens for signals that ask a run to stop: the first calls `stop`, another one ends the process at once. That is
 * done by the signal itself, which runs no native exit code that could crash. `doing` says what the first begins.
 */
export function stopOnSignals(stop: () => void, doing = 'Finishing this step and writing a checkpoint.'): StopRequest {
  let first: { readonly at: number; readonly status: number } | undefined
  const onSignal = (signal: StopSignal): void => {
    if (!first) {
      process.stderr.write(
        `\n${signal === 'SIGINT' ? '' : `Received ${signal}. `}${doing} ` +
          `Another ${called(signal)} stops at once.\n`,
      )
      first = { at: performance.now(), status: STATUS_AFTER[signal] }
      stop()
    } else if (performance.now() - first.at > SAME_SIGNAL_MS) {
      end()
      process.kill(process.pid, signal)
    }
  }
  const end = (): void => {
    for (const signal of STOP_SIGNALS) process.removeListener(signal, onSignal)
  }
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal)
  return {
    get requested() {
      return first !== undefined
    },
    get status() {
      return first?.status ?? 0
    },
    end,
  }
}

/** A signal as the user knows it. */
const called = (signal: StopSignal): string => (signal === 'SIGINT' ? 'Ctrl-C' : signal)

/** Signals while a run starts up, before `stopOnSignals` takes over. */
export interface Startup {
  /** What to do before the process ends by a signal, such as to unlock the run. */
  beforeStop(cleanUp: () => Promise<void>): void
  /** Stops listening. */
  end(): void
}

/**
 * Listens for signals until training begins: one ends the process by that signal, after a line with `state` on what is
 * left.
 */
export function stopBeforeTraining(state: string): Startup {
  let cleanUp = async (): Promise<void> => undefined
  let isStopping = false
  const onSignal = (signal: StopSignal): void => {
    if (isStopping) return
    isStopping = true
    process.stderr.write(`Stopped by ${called(signal)} before training began: ${state}.\n`)
    void cleanUp().finally(() => {
      end()
      process.kill(process.pid, signal)
    })
  }
  const end = (): void => {
    for (const signal of STOP_SIGNALS) process.removeListener(signal, onSignal)
  }
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal)
  return {
    beforeStop(action) {
      cleanUp = action
    },
    end,
  }
}

/** A fine-tuning command for the user's shell, run by the Node that came with the packages. */
export function command(preset: Preset, ...args: readonly string[]): string {
  return shellLine(COMMANDS[preset], ...args)
}

/** A command with arguments, quoted for the user's shell where that is needed. */
export function shellLine(command: string, ...args: readonly string[]): string {
  const quote = (text: string): string => (/^[\w=./:,@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
  return [command, ...args.map(quote)].join(' ')
}
