// Weights from a safetensors file into a model and back, by Transformers' names. Everything is checked before anything
// is written, and no tensor is ever whole in CPU memory while loading.
import { UserError } from '../engine/errors.ts'
import { sameShape, showShape, type Shape } from '../engine/shape.ts'
import { adapted } from './lora.ts'
import { initialise } from './initialise.ts'
import type { Model } from './model.ts'
import type { Parameter } from './nn.ts'
import type { LazyTensor, TensorFile } from './safetensors.ts'

/** Element types that hold numbers which weights can be. */
const FLOATS: readonly string[] = ['F32', 'F16', 'BF16']

/** Which tensor of a file goes where. */
export interface WeightMatch {
  /** Parameter and the name of its tensor in the file. */
  readonly loaded: readonly { readonly parameter: Parameter, readonly tensor: string }[]
  /** Parameters of the head that the file does not have. */
  readonly missing: readonly Parameter[]
  /** Tensors of the file that the model has no place for: other heads, position ids. */
  readonly ignored: readonly string[]
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
export function matchWeights(model: Model, file: TensorFile): WeightMatch {
  const loaded: { parameter: Parameter, tensor: string }[] = []
  const missing: Parameter[] = []
  for (const parameter of model.parameters()) {
    if (parameter.role === 'lora') continue
    const tensor = spellings(parameter.name, model.prefix).find(name => file.has(name))
    if (tensor !== undefined) {
      checkTensor(tensor, parameter.shape, file)
      loaded.push({ parameter, tensor })
    } else if (belongsToHead(parameter, model)) {
      missing.push(parameter)
    } else {
      throw new UserError(`${file.where} has no tensor ${parameter.name} ${showShape(parameter.shape)}, `
        + `which ${model.config.name} needs`)
    }
  }
  const used = new Set(loaded.map(({ tensor }) => tensor))
  return { loaded, missing, ignored: file.names().filter(name => !used.has(name)) }
}

/**
 * Loads a model's weights; what the file may lack (the head) and LoRA's parameters are drawn afresh with `seed`. Settle
 * tuning and bind parameters first. Throws a UserError, with nothing written, on a file that does not fit.
 */
export async function loadWeights(model: Model, file: TensorFile, seed: number): Promise<LoadReport> {
  const { loaded, missing, ignored } = matchWeights(model, file)
  for (const { parameter, tensor } of loaded) {
    for await (const { elementOffset, data } of file.chunks(tensor)) await parameter.write(data, elementOffset)
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
  const open = adapted(model).find(({ lora }) => lora && !lora.merged)
  if (open) throw new UserError(`the LoRA adapter of ${open.path} is not merged: merge it, or save the adapter alone`)
  return model.parameters().filter(({ role }) => role !== 'lora').map(parameter => ({
    name: parameter.name, dtype: 'F32', shape: parameter.shape, read: () => parameter.read(),
  }))
}

/** Names that a parameter's tensor may have in a file, likeliest first. */
function spellings(name: string, prefix: string): string[] {
  const bare = name.startsWith(prefix) ? [name, name.slice(prefix.length)] : [name]
  const old = bare.map(name => name.replace(/(norm)\.weight$/i, '$1.gamma').replace(/(norm)\.bias$/i, '$1.beta'))
  return [...new Set([...bare, ...old])]
}

/** What stands on the encoder may be missing from a file made for another task; BERT's pooler too. */
function belongsToHead({ name }: Parameter, { prefix }: Model): boolean {
  return !name.startsWith(prefix) || name.startsWith(`${prefix}pooler.`)
}

/** Throws a UserError unless a file's tensor has this shape and holds floats. */
export function checkTensor(tensor: string, expected: Shape, file: TensorFile): void {
  const { dtype, shape } = file.info(tensor)
  if (!sameShape(shape, expected)) {
    throw new UserError(`${file.where}: tensor ${tensor} is ${showShape(shape)}, expected ${showShape(expected)}`)
  }
  if (!FLOATS.includes(dtype)) {
    throw new UserError(`${file.where}: tensor ${tensor} is ${dtype}, expected one of ${FLOATS.join(', ')}`)
  }
}
