// Weights from a safetensors file into a model and back, by Transformers' names. Everything is checked before anything
// is written, and no tensor is ever whole in CPU memory while loading.
import { UserError } from '../engine/errors.ts'
import { needObjects } from '../engine/options.ts'
import { sameShape, showShape } from '../engine/shape.ts'
import type { Tensor } from '../engine/tensor.ts'
import { checkTensor, fillParameter } from './filling.ts'
import { adapted } from './lora.ts'
import { freshValues, initialise } from './initialise.ts'
import { type Model, needModel } from './model.ts'
import type { Parameter } from './nn.ts'
import type { LazyTensor, TensorFile } from './safetensors.ts'

/** Which tensor of a file goes where. */
export interface WeightMatch {
  /** Parameter and the name of its tensor in the file. */
  readonly loaded: readonly { readonly parameter: Parameter; readonly tensor: string }[]
  /** Parameters of the head that the file does not have, or has for other classes. */
  readonly missing: readonly Parameter[]
  /** Tensors of the file that the model has no place for: other heads, position ids. */
  readonly ignored: readonly string[]
}

/** Which part of a file is loaded. */
export interface PartOfFile {
  /**
   * False where the head on the encoder is for another task or other labels, and is to be drawn afresh. True when left
   * out.
   */
  readonly head?: boolean
}

/** What loading did, by name. */
export interface LoadReport {
  readonly loaded: readonly string[]
  /** Freshly drawn: heads that the file lacks, and LoRA's parameters. */
  readonly initialised: readonly string[]
  readonly ignored: readonly string[]
}

/**
 * Finds the tensor of every parameter. Names count with or without the model's prefix, and in the old spelling of norms
 * (`gamma`, `beta`). Throws a UserError naming file, tensor and shapes when one of the encoder is missing, or one that
 * is there has another shape or holds no floats.
 */
export function matchWeights(model: Model, file: TensorFile, { head = true }: PartOfFile = {}): WeightMatch {
  needModel('matchWeights', model)
  needObjects('matchWeights', { file })
  const loaded: { parameter: Parameter; tensor: string }[] = []
  const missing: Parameter[] = []
  for (const parameter of model.parameters()) {
    if (parameter.role === 'lora') continue
    const tensor = tensorOf(parameter.name, model, file)
    const isTaken = head || parameter.name.startsWith(model.prefix)
    if (tensor !== undefined && isTaken && !otherClasses(parameter, model, file)) {
      checkTensor(tensor, parameter.shape, file)
      loaded.push({ parameter, tensor })
    } else if (belongsToHead(parameter.name, model)) {
      missing.push(parameter)
    } else {
      throw new UserError(
        `${file.where} has no tensor ${parameter.name} ${showShape(parameter.shape)}, ` +
          `which ${model.config.name} needs`,
      )
    }
  }
  const used = new Set(loaded.map(({ tensor }) => tensor))
  return { loaded, missing, ignored: file.names().filter(name => !used.has(name)) }
}

/**
 * Loads a model's weights; what the file may lack (the head) and LoRA's parameters are drawn afresh with `seed`. Settle
 * tuning and bind parameters first. Throws a UserError, with nothing written, on a file that does not fit.
 */
export async function loadWeights(
  model: Model,
  file: TensorFile,
  seed: number,
  part: PartOfFile = {},
): Promise<LoadReport> {
  needModel('loadWeights', model)
  needObjects('loadWeights', { file })
  const { loaded, missing, ignored } = matchWeights(model, file, part)
  for (const { parameter, tensor } of loaded) {
    await fillParameter(parameter, file, tensor)
    parameter.fresh = false
  }
  const drawn = [...missing, ...model.parameters().filter(parameter => parameter.role === 'lora')]
  await initialise(drawn, seed)
  const names = (parameters: readonly Parameter[]): string[] => parameters.map(({ name }) => name)
  return { loaded: names(loaded.map(({ parameter }) => parameter)), initialised: names(drawn), ignored }
}

/**
 * The tensors of a model as they go into `model.safetensors`, read from the GPU one at a time. Throws a UserError when
 * LoRA adapters are not merged, since such a file has no place for them.
 */
export function modelTensors(model: Model): LazyTensor[] {
  needModel('modelTensors', model)
  const open = adapted(model).find(({ lora }) => lora && !lora.merged)
  if (open) throw new UserError(`the LoRA adapter of ${open.path} is not merged: merge it, or save the adapter alone`)
  return modelParameters(model).map(parameter => asF32(parameter, () => parameter.read()))
}

/** The f32 values that a parameter began with, whatever the GPU holds of them. */
export type Origin = (parameter: Parameter) => Promise<Float32Array>

/**
 * Of a model that was loaded from `part` of `file`, or drawn with `seed` where that is undefined or lacks the
 * parameter.
 */
export function originOf(model: Model, file: TensorFile | undefined, seed: number, part: PartOfFile = {}): Origin {
  const loaded = file ? matchWeights(model, file, part).loaded : []
  const tensorOf = new Map(loaded.map(({ parameter, tensor }) => [parameter, tensor]))
  return async parameter => {
    const tensor = tensorOf.get(parameter)
    return file && tensor !== undefined ? file.read(tensor) : freshValues(parameter, seed)
  }
}

/** The tensors of a model as it was before it was trained, without adapters. */
export function baseTensors(model: Model, origin: Origin): LazyTensor[] {
  needModel('baseTensors', model)
  return modelParameters(model).map(parameter => asF32(parameter, () => origin(parameter)))
}

/**
 * The tensors of a model with its adapters folded in, W + scale · B · A, all in f32: what the GPU stores in f16 comes
 * from its origin. The model stays as it is. Throws a UserError if an adapter is merged into half precision already.
 */
export function mergedTensors(model: Model, origin: Origin): LazyTensor[] {
  needModel('mergedTensors', model)
  const rounded = adapted(model).find(({ weight, lora }) => lora?.merged && weight.dtype === 'f16')
  if (rounded)
    throw new UserError(`the adapter of ${rounded.weight.name} is merged into half precision: unmerge it first`)
  const adapters = new Map(
    adapted(model).flatMap(({ weight, lora }) => (lora && !lora.merged ? [[weight, lora] as const] : [])),
  )
  const exact = (parameter: Parameter): Promise<Float32Array> =>
    parameter.dtype === 'f16' ? origin(parameter) : parameter.read()
  return modelParameters(model).map(parameter =>
    asF32(parameter, async () => {
      const values = await exact(parameter)
      const lora = adapters.get(parameter)
      if (!lora) return values
      return withLora(values, lora.a.tensor, lora.b.tensor, lora.scale)
    }),
  )
}

/** W + scale · B · A: values of a weight [outputs, inputs], `a` [rank, inputs] and `b` [outputs, rank]. */
export async function withLora(values: Float32Array, a: Tensor, b: Tensor, scale: number): Promise<Float32Array> {
  const change = await b.matmul(a).mul(scale).data()
  return values.map((value, i) => value + change[i])
}

const modelParameters = (model: Model): Parameter[] => model.parameters().filter(({ role }) => role !== 'lora')

const asF32 = ({ name, shape }: Parameter, read: () => Promise<Float32Array>): LazyTensor => ({
  name,
  dtype: 'F32',
  shape,
  read,
})

/** Names that a parameter's tensor may have in a file, likeliest first. */
function spellings(name: string, prefix: string): string[] {
  const bare = name.startsWith(prefix) ? [name, name.slice(prefix.length)] : [name]
  const old = bare.map(name => name.replace(/(norm)\.weight$/i, '$1.gamma').replace(/(norm)\.bias$/i, '$1.beta'))
  return [...new Set([...bare, ...old])]
}

const tensorOf = (name: string, { prefix }: Model, file: TensorFile): string | undefined =>
  spellings(name, prefix).find(spelling => file.has(spelling))

/** Whether a file's classifier scores another number of classes: both its weight and its bias have other rows. */
function otherClasses({ name }: Parameter, model: Model, file: TensorFile): boolean {
  const layer = name.replace(/\.(weight|bias)$/, '')
  const head = model.head().find(({ path }) => path === layer)
  const [weight, bias] = [`${layer}.weight`, `${layer}.bias`].map(parameter => tensorOf(parameter, model, file))
  if (!head || weight === undefined || bias === undefined || head.path.startsWith(model.prefix)) return false
  const [rows, inputs, ...more] = file.info(weight).shape
  return (
    more.length === 0 && inputs === head.inputs && rows !== head.outputs && sameShape(file.info(bias).shape, [rows])
  )
}

/** What stands on the encoder may be missing from a file made for another task; BERT's pooler too. */
export function belongsToHead(name: string, { prefix }: Model): boolean {
  return !name.startsWith(prefix) || name.startsWith(`${prefix}pooler.`)
}
