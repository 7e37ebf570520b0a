// Tensors of a file into parameters: what is checked, and what is written.
import { UserError } from '../engine/errors.ts'
import { sameShape, showShape, type Shape } from '../engine/shape.ts'
import type { Parameter } from './nn.ts'
import { LEAST_BEYOND_F16, firstBeyond, type TensorFile } from './safetensors.ts'
import { show } from './show.ts'

/** Element types that hold numbers which weights can be. */
const FLOATS: readonly string[] = ['F32', 'F16', 'BF16']

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

/**
 * Writes a file's tensor into a parameter of the same size. Throws a UserError on numbers that are not finite, or that
 * the parameter's own f16 cannot hold, naming the tensor and the element; what comes before that is written by then.
 */
export async function fillParameter(parameter: Parameter, file: TensorFile, tensor: string): Promise<void> {
  for await (const { elementOffset, data } of file.chunks(tensor)) {
    await writeChecked(parameter, data, elementOffset, () => `${file.where}: tensor ${show(tensor)}`)
  }
}

/**
 * Writes elements from `elementOffset` on. Throws a UserError, which begins with `where`, on numbers that the
 * parameter's f16 cannot hold.
 */
export async function writeChecked(
  parameter: Parameter,
  data: Float32Array<ArrayBuffer>,
  elementOffset: number,
  where: () => string,
): Promise<void> {
  const bad = parameter.dtype === 'f16' ? firstBeyond(data, LEAST_BEYOND_F16) : -1
  if (bad >= 0) {
    throw new UserError(
      `${where()} has ${data[bad]} as element ${elementOffset + bad}, which f16 cannot hold: use --precision f32`,
    )
  }
  await parameter.write(data, elementOffset)
}
