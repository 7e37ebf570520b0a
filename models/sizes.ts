// Whether a model's parameters fit an adapter, by arithmetic: what one kernel can bind bounds each of them.
import { showBytes } from '../engine/bytes.ts'
import { type Device, UserError } from '../engine/index.ts'
import { bytesOf } from '../shaders/kernel.ts'
import type { Model } from './model.ts'
import type { Parameter } from './nn.ts'

/**
 * Throws a UserError that names the largest parameter where it is larger than what one binding of the device holds.
 * `halves` says what stores frozen weights in f16, where that is open to the user.
 */
export function checkSizes(
  model: Model,
  { gpu: { limits }, info }: Pick<Device, 'gpu' | 'info'>,
  halves?: string,
): void {
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize)
  const sizeOf = ({ size, dtype }: Parameter): number => size * bytesOf(dtype)
  const largest = model.parameters().reduce((found, next) => (sizeOf(next) > sizeOf(found) ? next : found))
  const bytes = sizeOf(largest)
  if (bytes <= most) return
  const { name, dtype, role, trainable } = largest
  const canHalve = dtype === 'f32' && !trainable && (role === 'weight' || role === 'embedding') && bytes / 2 <= most
  throw new UserError(
    `the weight ${name} takes ${showBytes(bytes)}, and one binding of ${info.name} holds ${showBytes(most)}: ` +
      `use ${halves !== undefined && canHalve ? `${halves}, ` : ''}another adapter (tilegrad adapters lists them), or a smaller model`,
  )
}
