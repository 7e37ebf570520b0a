// Constants on the device. A constant's memory lives as long as its node, so that it is uploaded once for all plans.
import { bytesOf } from '../../shaders/kernel.ts'
import type { Node } from '../graph.ts'
import type { Device } from '../runtime/device.ts'
import { Storage } from '../storage.ts'
import type { TensorData } from '../tensor.ts'

/** By node, on the device that last used it. */
const constants = new WeakMap<Node, Storage>()

/** A constant's memory on a device, uploaded if necessary. */
export function constantOn(device: Device, node: Node, data: TensorData): Storage {
  const known = constants.get(node)
  if (known?.isOn(device)) return known
  const [{ dtype }] = node.outputs
  const storage = new Storage('constant', data.length * bytesOf(dtype), { host: { data, dtype } })
  storage.on(device)
  constants.set(node, storage)
  return storage
}

/** A constant's memory if it was uploaded before, to any device. */
export function knownConstant(node: Node): Storage | undefined {
  return constants.get(node)
}

/** Frees a constant's memory. A plan that still uses it uploads it again. */
export function forgetConstant(node: Node): void {
  constants.get(node)?.release()
  constants.delete(node)
}
