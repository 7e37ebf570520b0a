// Every config of every kernel gets its turn: kernels choose what has run least often so far, whatever the engine's
// best guess is. Nothing in the engine knows of it: the ops' `lower` is wrapped for the time of a run.
import { type KernelOp, registeredOps } from '../../engine/graph.ts'
import { configName, type MatmulCandidate } from '../../shaders/matmul.ts'
import { matmulWays, showConfig } from './configs.ts'
import { exchange } from './exchange.ts'

const isKernel = (op: { readonly kind: string }): op is KernelOp => op.kind === 'kernel'

/**
 * 'engine': kernels choose what the engine would. 'rarest': one ask of each kernel in a run takes what ran least often
 * so far, since compiling is most of a check's time; matmul's products take turns. 'all': every ask does.
 */
export type Mode = 'engine' | 'rarest' | 'all'

/** A product and its two gradients. */
const PRODUCTS = 3

export class Explorer {
  /** How often each config was chosen, by dtype, vector and the like. */
  readonly #times = new Map<string, number>()
  /** How often each kernel asked in the last run. */
  #asks = new Map<string, number>()
  #run = 0
  /** `kernel: config` of all that ran. */
  readonly ran = new Set<string>()
  /** How many choices of the last run had never been made. */
  fresh = 0
  /** `kernel: config` of the last run. */
  readonly last = new Set<string>()

  /** An explorer that chooses from here on as this one does. */
  copy(): Explorer {
    const copy = new Explorer()
    for (const [key, times] of this.#times) copy.#times.set(key, times)
    for (const config of this.ran) copy.ran.add(config)
    copy.#run = this.#run
    return copy
  }

  /** How often the last run's kernels asked. */
  get choices(): number {
    return [...this.#asks.values()].reduce((sum, n) => sum + n, 0)
  }

  async run<T>(mode: Mode, act: () => Promise<T>): Promise<T> {
    const asks = new Map<string, number>()
    this.#asks = asks
    this.fresh = 0
    this.last.clear()
    if (mode === 'rarest') this.#run++
    const turn = this.#run
    const explores = (kernel: string, ask: number): boolean =>
      mode === 'all' || (mode === 'rarest' && ask === (kernel === 'matmul' ? turn % PRODUCTS : 0))
    const undo = registeredOps()
      .filter(isKernel)
      .map(op => {
        const lower = op.lower
        return exchange<KernelOp>(op, {
          lower: context =>
            lower.call(op, {
              ...context,
              choose: (question, offered) => {
                const { kernel } = question
                const ask = asks.get(kernel) ?? 0
                asks.set(kernel, ask + 1)
                const ways =
                  kernel === 'matmul' ? (matmulWays(question, context.traits) as unknown as typeof offered) : offered
                // Few products suit matrix units, so each of them tries a matrix config that no other has tried.
                const alone =
                  kernel === 'matmul' &&
                  mode === 'rarest' &&
                  ways.some(way => this.#isNew(kernel, way) && (way as MatmulCandidate).config.kernel === 'matrix')
                if (!alone && !explores(kernel, ask)) return this.#note(kernel, context.choose(question, offered))
                // The forms of a kernel, each with configs of its own, take turns, whatever the engine would choose.
                if (kernel.endsWith(' form')) return this.#note(kernel, offered[Math.floor(turn / 2) % offered.length])
                return this.#note(kernel, this.#rarest(kernel, ways))
              },
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
    this.last.add(`${kernel}: ${showConfig(kernel, config)}`)
    if (before === 0) this.fresh++
    return config
  }

  #isNew(kernel: string, config: unknown): boolean {
    return !this.ran.has(`${kernel}: ${showConfig(kernel, config)}`)
  }

  /** The first of the configs that ran least often; one that has not run at all, in any form or dtype, comes before. */
  #rarest<C>(kernel: string, offered: readonly C[]): C {
    const rank = (config: C): number =>
      this.#isNew(kernel, config) ? 0 : 1 + (this.#times.get(keyOf(kernel, config)) ?? 0)
    return offered.reduce((best, config) => (rank(config) < rank(best) ? config : best))
  }
}

function keyOf(kernel: string, config: unknown): string {
  if (kernel !== 'matmul') return `${kernel} ${JSON.stringify(config)}`
  const { config: own, slices, transpose } = config as MatmulCandidate
  return `matmul ${configName(own)}${slices > 1 ? ' in slices' : ''}${transpose ? ' transposed' : ''}`
}
