// The host's own work, on Dawn's null backend, which executes nothing: microseconds per dispatch, milliseconds per
// training step. It runs in a process of its own, since two devices share no constants.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ms } from '../text.ts'
import { type Findings, type Topic, bar } from '../topic.ts'

/** One thing whose cost on the host was measured. */
export interface HostRow {
  readonly what: string
  readonly dispatches: number
  /** Milliseconds a run: median. */
  readonly milliseconds: number
  readonly microsecondsPerDispatch: number
}

/** What an encoded dispatch may cost, and a whole BERT-base step. */
const MICROSECONDS_A_DISPATCH = 5
const MILLISECONDS_A_STEP = 3

export const host: Topic = {
  title: "Host: wall time on Dawn's null backend, where nothing executes",
  async run(context): Promise<Findings> {
    context.progress('in a process of its own', 0, 1)
    const rows = await new Promise<HostRow[]>((resolve, reject) => {
      const child = fork(fileURLToPath(new URL('host-process.ts', import.meta.url)), [context.scale], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      child.on('message', (rows: HostRow[]) => resolve(rows))
      child.on('exit', (code, signal) =>
        reject(new Error(`the process on the null backend ended (${signal ?? `status ${code}`})`)),
      )
    })
    const step = rows.find(({ what }) => what.startsWith('bert-base'))
    return {
      rows: [
        ['what', 'dispatches', 'ms', 'µs per dispatch'],
        ...rows.map(({ what, dispatches, milliseconds, microsecondsPerDispatch }) => [
          what,
          `${dispatches}`,
          ms(milliseconds),
          microsecondsPerDispatch.toFixed(2),
        ]),
      ],
      notes: [],
      bars: [
        bar(`${rows[0].what}: a dispatch`, rows[0].microsecondsPerDispatch, MICROSECONDS_A_DISPATCH, 'µs'),
        ...(step ? [bar(`${step.what}: the host's part`, step.milliseconds, MILLISECONDS_A_STEP, 'ms')] : []),
      ],
      data: { rows },
    }
  },
}
