// The device that a command works on, opened by the name that the user gave.
import { type Device, openDevice, useDevice } from '../../engine/index.ts'
import { openAdapter } from '../../engine/node/adapters.ts'

/**
 * Opens the adapter whose name contains `name`, or the fastest, and uses it for everything that follows. With
 * `profile`, timestamps are exact. Each call opens another device. Throws a UserError if there is no such adapter.
 */
export async function openNamed(name: string | undefined, profile: boolean): Promise<Device> {
  // Dawn rounds timestamps to 65.5 µs for the sake of web pages; most kernels take less.
  const timing = profile ? ['disable-dawn-features=timestamp_quantization'] : []
  const { adapter, info } = await openAdapter({ name, dawnFlags: timing })
  const device = await openDevice(adapter, info)
  useDevice(device)
  return device
}
