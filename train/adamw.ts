// AdamW (Loshchilov and Hutter 2019) over flat arenas: every trained parameter is a stretch of a few large variables,
// so that one dispatch updates them all, whatever their number.
import { type Variable, concat, scalar, tensor, variable } from '../engine/index.ts'
import { adamw } from '../engine/ops/adamw.ts'
import type { Tensor, TensorData } from '../engine/tensor.ts'
import type { Parameter } from '../models/nn.ts'

export interface AdamWOptions {
  /** Decoupled decay, none on biases and norms. */
  readonly weightDecay: number
  readonly beta1?: number
  readonly beta2?: number
  readonly epsilon?: number
  /** Largest global norm of the gradient; 0 for no limit. */
  readonly clip?: number
  /** The most bytes that one arena may hold: the adapter's limit on a binding. */
  readonly maxArenaBytes: number
}

/** Parameters begin at multiples of this many elements: 256 bytes, where a binding may begin. */
const ALIGNMENT = 64
/** Elements between the rows of hyperparameters, for the same reason. */
const HYPER_STRIDE = ALIGNMENT
const HYPER_COUNT = 8

/** One stretch of memory for many parameters that share their decay. */
interface Arena {
  readonly decay: boolean
  readonly parameters: readonly { readonly parameter: Parameter; readonly offset: number }[]
  readonly size: number
  readonly values: Variable
  readonly m: Variable
  readonly v: Variable
}

/** What a file keeps: values by name. */
export interface ValueEntry {
  readonly name: string
  /** A variable, or a parameter wherever it is stored. */
  readonly variable: Pick<Variable, 'shape'> & {
    read(): Promise<TensorData>
    write(data: Float32Array<ArrayBuffer>, at?: number): Promise<void>
  }
}

/** What the state of an optimizer is on disk: names and variables. */
export interface StateEntry extends ValueEntry {
  readonly variable: Variable
}

export class AdamW {
  readonly #arenas: readonly Arena[]
  readonly #options: Required<AdamWOptions>

  private constructor(arenas: readonly Arena[], options: Required<AdamWOptions>) {
    this.#arenas = arenas
    this.#options = options
  }

  /** Takes over the storage of `parameters`, whose values move along. To be made before anything is traced. */
  static async over(parameters: readonly Parameter[], options: AdamWOptions): Promise<AdamW> {
    const full = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clip: 0, ...options }
    const arenas = [true, false].flatMap(decay =>
      pack(
        parameters.filter(p => p.decays === decay),
        decay,
        options.maxArenaBytes,
      ),
    )
    for (const { parameters: held, values } of arenas) {
      for (const { parameter, offset } of held) {
        const before = parameter.written ? Float32Array.from(await parameter.read()) : undefined
        const { variable: old } = parameter
        parameter.bind(values, offset)
        old?.release()
        if (before) await parameter.write(before)
      }
    }
    return new AdamW(arenas, full)
  }

  /** Bytes of parameters and moments that it owns. */
  get bytes(): number {
    return this.#arenas.reduce((sum, { size }) => sum + 3 * 4 * size, 0)
  }

  /** Hyperparameters of optimizer step `t` = 1, 2, … at learning rate `lr`: an input of a compiled step. */
  hyper(t: number, lr: number): Tensor {
    const { beta1, beta2, epsilon, weightDecay } = this.#options
    const rows = new Float32Array(2 * HYPER_STRIDE)
    for (const decay of [true, false]) {
      rows.set(
        [lr, 1 - beta1, beta2, 1 - beta2, epsilon, decay ? weightDecay : 0, 1 - beta1 ** t, 1 - beta2 ** t],
        decay ? 0 : HYPER_STRIDE,
      )
    }
    return tensor(rows, [2, HYPER_STRIDE])
  }

  /** Gradients, in the order of the parameters that it was made over, as one flat tensor an arena. */
  flatten(parameters: readonly Parameter[], gradients: readonly Tensor[]): Tensor[] {
    const of = new Map(parameters.map((parameter, i) => [parameter, gradients[i]]))
    return this.#arenas.map(({ parameters: held, size }) =>
      concat(
        held.flatMap(({ parameter, offset }, i) => {
          const gradient = of.get(parameter)
          if (!gradient) throw new Error(`no gradient for ${parameter.name}`)
          const end = i + 1 < held.length ? held[i + 1].offset : size
          const gap = end - offset - parameter.size
          const flat = gradient.cast('f32').reshape([parameter.size])
          return gap > 0 ? [flat.pad([0], [gap])] : [flat]
        }),
      ),
    )
  }

  /** Variables for sums of flat gradients over several batches. */
  accumulators(): Variable[] {
    return this.#arenas.map(({ size }, i) => variable({ shape: [size], dtype: 'f32' }, `gradients.${i}`))
  }

  /**
   * Inside a compiled function: one step from flat gradients, which were multiplied by `lossScale` (f32 []). Gives the
   * true global norm of the gradient, f32 []; where it is not finite, or `mayTake` gives 0 for it (u32 []), nothing
   * changes. `t` (f32 []) is the step's number for the bias corrections, where only the GPU knows it: those of `hyper`
   * don't count then.
   */
  update(
    flat: readonly Tensor[],
    hyper: Tensor,
    lossScale: Tensor = scalar(1),
    t?: Tensor,
    mayTake: (norm: Tensor) => Tensor = () => scalar(1, 'u32'),
  ): Tensor {
    const { clip, beta1, beta2 } = this.#options
    const corrections = t && [beta1, beta2].map(beta => oneMinusExp(t.mul(-Math.log(beta))).reshape([1]))
    const squares = flat.map(g => g.mul(lossScale.reciprocal()).square().sum())
    const norm = squares.reduce((a, b) => a.add(b)).sqrt()
    // As torch's clip_grad_norm_; a negative scale makes AdamW skip the step.
    const clipped = clip > 0 ? scalar(clip).div(norm.add(1e-6)).minimum(1) : scalar(1)
    const scale = norm.isFinite().where(mayTake(norm).where(clipped.div(lossScale), -1), -1)
    this.#arenas.forEach(({ decay, values, m, v }, i) => {
      const row = decay ? 0 : 1
      const given = hyper.slice([row, 0], [row + 1, HYPER_COUNT]).reshape([HYPER_COUNT])
      const numbers = corrections
        ? concat([given.slice([0], [HYPER_COUNT - corrections.length]), ...corrections])
        : given
      const [p, nextM, nextV] = adamw(values.tensor, m.tensor, v.tensor, flat[i], numbers, scale)
      values.assign(p)
      m.assign(nextM)
      v.assign(nextV)
    })
    return norm
  }

  /** The name of the parameter that has this element of an arena's variable, and which of its elements that is. */
  placeOf(variable: string, element: number): { readonly name: string; readonly element: number } | undefined {
    const arena = this.#arenas.find(({ values, m, v }) => [values, m, v].some(({ name }) => name === variable))
    const held = arena?.parameters.findLast(({ offset }) => offset <= element)
    return held && { name: held.parameter.name, element: element - held.offset }
  }

  /** Everything that a checkpoint keeps. */
  state(): StateEntry[] {
    return this.#arenas.flatMap(({ values, m, v }) =>
      [values, m, v].map(variable => ({ name: variable.name, variable })),
    )
  }
}

/** 1 − e⁻ˣ for x ≥ 0, f32: where the difference would lose its digits, the power series. */
function oneMinusExp(x: Tensor): Tensor {
  const series = [8, 7, 6, 5, 4, 3, 2]
    .reduce<Tensor>((sum, n) => scalar(1).sub(x.mul(sum).mul(1 / n)), scalar(1))
    .mul(x)
  return x.less(0.5).where(series, scalar(1).sub(x.neg().exp()))
}

function pack(parameters: readonly Parameter[], decay: boolean, maxBytes: number): Arena[] {
  const groups: { held: { parameter: Parameter; offset: number }[]; size: number }[] = []
  for (const parameter of parameters) {
    const length = Math.ceil(parameter.size / ALIGNMENT) * ALIGNMENT
    let group = groups.at(-1)
    if (!group || (group.size + length) * 4 > maxBytes) {
      group = { held: [], size: 0 }
      groups.push(group)
    }
    group.held.push({ parameter, offset: group.size })
    group.size += length
  }
  return groups.map(({ held, size }, i) => {
    const name = `${decay ? 'decayed' : 'undecayed'}.${i}`
    const flat = (part: string): Variable => variable({ shape: [size], dtype: 'f32' }, `${name}.${part}`)
    return { decay, parameters: held, size, values: flat('values'), m: flat('m'), v: flat('v') }
  })
}
