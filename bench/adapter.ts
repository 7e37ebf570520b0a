// The devices that benches run on: the adapter's with exact timestamps, and Dawn's null backend, which runs nothing.
import { create, globals } from 'webgpu'
import { type Device, type TuningMode, UserError, openDevice, useDevice } from '../engine/index.ts'
import { openAdapter } from '../engine/node/adapters.ts'
import { version } from '../train/node/package.ts'
import { KernelChoices } from '../train/node/run/kernels.ts'

const MODES: readonly string[] = ['off', 'cached', 'full'] satisfies TuningMode[]

/** Of an option. Throws a UserError on another word. */
export function tuningMode(text: string): TuningMode {
  if (isMode(text)) return text
  throw new UserError(`--tune-kernels takes one of ${MODES.join(', ')}, not '${text}'`)
}

function isMode(text: string): text is TuningMode {
  return MODES.includes(text)
}

/** Kernels are chosen as in the IMDb job: by what was measured on this adapter, here or in any run before. */
export async function chooseKernels(mode: TuningMode, device: Device, seconds?: number): Promise<void> {
  await KernelChoices.begin(mode, device, version, undefined, seconds)
}

/** Opens the adapter that has such a name, or the best, and runs everything upon it. Throws a UserError where there is none. */
export async function openTimedDevice(name: string | undefined, tuning: TuningMode, seconds?: number): Promise<Device> {
  // Timestamps are rounded to 65.5 µs otherwise.
  const dawnFlags = ['disable-dawn-features=timestamp_quantization']
  const { adapter, info } = await openAdapter({ name, dawnFlags })
  const device = await openDevice(adapter, info)
  useDevice(device)
  await chooseKernels(tuning, device, seconds)
  return device
}

// Dropped while a device of it lives, it would end in a crash after a garbage collection.
const instances: GPU[] = []

/** Dawn's null backend: it checks and encodes all commands and executes none, so what remains is the host's work. */
export async function openNullDevice(): Promise<Device> {
  for (const [key, value] of Object.entries(globals)) {
    if (!(key in globalThis)) Object.defineProperty(globalThis, key, { value, writable: true, configurable: true })
  }
  const instance = create(['backend=null'])
  instances.push(instance)
  const adapter = await instance.requestAdapter()
  if (!adapter) throw new Error('Dawn has no null backend here')
  const device = await openDevice(adapter, { name: 'null', vendor: '', architecture: '', fallback: false })
  useDevice(device)
  return device
}
