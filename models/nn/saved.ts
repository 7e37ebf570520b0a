// The parameters of a module as safetensors, by their names, and back.
import { UserError } from '../../engine/errors.ts'
import { needOptions } from '../../engine/options.ts'
import { checkTensor, fillParameter } from '../filling.ts'
import { type LazyTensor, type TensorFile, bytesSource, openTensors, serialize } from '../safetensors.ts'
import { show } from '../show.ts'
import { type Module, needModules } from './module.ts'
import type { Parameter } from './parameter.ts'

/** Names that an error lists. */
const LISTED = 3

export interface LoadOptions {
  /** Loads what is on both sides: parameters that the file lacks keep their values, and other tensors are ignored. */
  readonly partial?: boolean
}

/** What loading left out; nothing unless it was partial. */
export interface LoadedNames {
  /** Parameters that the file does not have. */
  readonly missing: readonly string[]
  /** Tensors of the file that the module has no parameter for. */
  readonly unexpected: readonly string[]
}

/** Every parameter of a module by its name, in its own dtype, read from the GPU when its turn comes. */
export function savedTensors(module: Module): LazyTensor[] {
  return [...module.named()].map(([name, parameter]) => ({
    name,
    dtype: parameter.dtype === 'f16' ? 'F16' : 'F32',
    shape: parameter.shape,
    read: () => parameter.read(),
  }))
}

/**
 * All parameters of a module as the bytes of a safetensors file, by their names, as PyTorch's state dicts have them.
 * Throws a NonFinite if one holds NaN or infinities.
 */
export async function save(
  module: Module,
  metadata?: Readonly<Record<string, string>>,
): Promise<Uint8Array<ArrayBuffer>> {
  needModules('save', { module })
  const tensors = []
  for (const { read, ...tensor } of savedTensors(module)) tensors.push({ ...tensor, data: await read() })
  return serialize(tensors, metadata)
}

/**
 * Fills a module from the bytes of a safetensors file, by name. Throws a UserError, with nothing written, if a tensor is
 * missing, has another shape, or has no place in the module; `partial` allows the first and the last.
 */
export async function load(
  module: Module,
  bytes: Uint8Array<ArrayBuffer> | ArrayBuffer,
  options: LoadOptions = {},
): Promise<LoadedNames> {
  needModules('load', { module })
  if (!(ArrayBuffer.isView(bytes) || bytes instanceof ArrayBuffer))
    throw new UserError(`load takes the bytes of a file, not ${String(bytes)}`)
  const source = bytesSource(bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes)
  return loadTensors(module, await openTensors(source, 'the file of parameters'), options)
}

/** The same from an open file. */
export async function loadTensors(module: Module, file: TensorFile, options: LoadOptions = {}): Promise<LoadedNames> {
  needOptions('load', options, 'partial')
  const { partial = false } = options
  const parameters = module.named()
  const missing = [...parameters.keys()].filter(name => !file.has(name))
  const unexpected = file.names().filter(name => !parameters.has(name))
  if (!partial && missing.length > 0) throw new UserError(`${file.where} lacks ${listed(missing)}`)
  if (!partial && unexpected.length > 0) {
    throw new UserError(`${file.where} has ${listed(unexpected)}, for which there is no parameter`)
  }
  const found: [string, Parameter][] = [...parameters].filter(([name]) => file.has(name))
  for (const [name, { shape }] of found) checkTensor(name, shape, file)
  for (const [name, parameter] of found) {
    await fillParameter(parameter, file, name)
    parameter.fresh = false
  }
  return { missing, unexpected }
}

function listed(names: readonly string[]): string {
  const more = names.length - LISTED
  return names.slice(0, LISTED).map(show).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
