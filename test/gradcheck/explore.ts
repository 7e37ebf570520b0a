// Every config of every kernel gets its turn: kernels choose what has run least often so far, whatever the engine's best
// guess is. Nothing in the engine knows of it: the ops' `lower` is wrapped for the time of a run.
import { type KernelOp, registeredOps } from '../../engine/graph.ts'
import { configName, type MatmulCandidate } from '../../shaders/matmul.ts'
import { matmulWays, showConfig } from './configs.ts'
import { exchange } from './exchange.ts'

const isKernel = (op: { readonly kind: string }): op is KernelOp => op.kind === 'kernel'

export class Explorer {
  /** How often each config was chosen, apart from dtype, vector and the like, too. */
  readonly #times = new Map<string, number>()
  /** `kernel: config` of all that ran. */
  readonly ran = new Set<string>()
  /** Choices in the last run, and those among them that had never been made. */
  choices = 0
  fresh = 0

  /** Runs with kernels that choose as the engine would, or ('rarest') what ran least often. */
  async run<T>(mode: 'engine' | 'rarest', act: () => Promise<T>): Promise<T> {
    this.choices = 0
    this.fresh = 0
    const undo = registeredOps().filter(isKernel).map(op => {
      const lower = op.lower
      return exchange<KernelOp>(op, {
        lower: context => lower.call(op, {
          ...context,
          choose: (kernel, problem, offered) => this.#note(kernel, mode === 'engine'
            ? context.choose(kernel, problem, offered)
            : this.#rarest(kernel, kernel === 'matmul' ? matmulWays(problem, context.traits) as unknown as typeof offered : offered)),
        }),
      })
    })
    try {
      return await act()
    } finally {
      for (const back of undo) back()
    }
  }

  #note<C>(kernel: string, config: C): C {
    const key = keyOf(kernel, config)
    const before = this.#times.get(key) ?? 0
    this.#times.set(key, before + 1)
    this.ran.add(`${kernel}: ${showConfig(kernel, config)}`)
    this.choices++
    if (before === 0) this.fresh++
    return config
  }

  /** The first of those that ran least often; a config that never ran in any way or dtype before all others. */
  #rarest<C>(kernel: string, offered: readonly C[]): C {
    const rank = (config: C): number => (this.ran.has(`${kernel}: ${showConfig(kernel, config)}`) ? 1 + (this.#times.get(keyOf(kernel, config)) ?? 0) : 0)
    return offered.reduce((best, config) => (rank(config) < rank(best) ? config : best))
  }
}

function keyOf(kernel: string, config: unknown): string {
  if (kernel !== 'matmul') return `${kernel} ${JSON.stringify(config)}`
  const { config: own, slices, transpose } = config as MatmulCandidate
  return `matmul ${configName(own)}${slices > 1 ? ' in slices' : ''}${transpose ? ' transposed' : ''}`
}
