// What an optimizer knows beside the parameters, as safetensors by the parameters' names, so that training goes on where
// it was.
import { UserError } from '../../engine/index.ts'
import type { TensorData } from '../../engine/tensor.ts'
import { checkTensor } from '../../models/filling.ts'
import { type TensorFile, type TensorToWrite, bytesSource, openTensors, serialize } from '../../models/safetensors.ts'
import { type Optimizer, needOptimizer } from './optimizer.ts'

/** The state of an optimizer: `hidden.weight.m` and so on, and how many steps it has taken. Not the parameters. */
export async function saveOptimizer(optimizer: Optimizer): Promise<Uint8Array<ArrayBuffer>> {
  needOptimizer('saveOptimizer', { optimizer })
  await optimizer.adopt()
  const read = new Map<unknown, TensorData>()
  const tensors: TensorToWrite[] = []
  for (const { parameter, name, variable, at } of optimizer.slots()) {
    const all = read.get(variable) ?? (await variable.read())
    read.set(variable, all)
    const data = Float32Array.from(all.subarray(at, at + parameter.size))
    tensors.push({ name: `${parameter.name}.${name}`, dtype: 'F32', shape: parameter.shape, data })
  }
  return serialize(tensors, { steps: String(optimizer.steps) })
}

/** Restores such a state. Throws a UserError, with nothing changed, if it is of other parameters or another optimizer. */
export async function loadOptimizer(optimizer: Optimizer, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  needOptimizer('loadOptimizer', { optimizer })
  await optimizer.adopt()
  const file = await openTensors(bytesSource(bytes), "the optimizer's state")
  const steps = stepsOf(file)
  const slots = optimizer.slots().map(slot => ({ ...slot, tensor: `${slot.parameter.name}.${slot.name}` }))
  for (const { tensor, parameter } of slots) checkTensor(tensor, parameter.shape, file)
  const known = new Set(slots.map(({ tensor }) => tensor))
  const other = file.names().find(name => !known.has(name))
  if (other !== undefined) throw new UserError(`${file.where} has ${other}, which this optimizer does not keep`)
  for (const { tensor, variable, at } of slots) await variable.write(await file.read(tensor), at)
  optimizer.steps = steps
}

function stepsOf({ metadata, where }: TensorFile): number {
  const steps = Number(metadata.steps)
  if (!Number.isSafeInteger(steps) || steps < 0)
    throw new UserError(`${where} does not say how many steps it has taken`)
  return steps
}
