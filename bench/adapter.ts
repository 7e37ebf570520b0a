// The devices that benches run on: the adapter's with exact timestamps, and Dawn's null backend, which runs nothing.
import { type Device, type TuningMode, UserError, openDevice, useDevice } from '../engine/index.ts'
import { loadDawn, openAdapter } from '../engine/node/adapters.ts'
import { TUNING_MODES } from '../engine/tune.ts'
import { version } from '../train/node/package.ts'
import { KernelChoices } from '../train/node/run/kernels.ts'

/** The value of `--tune-kernels`. Throws a UserError on any other word. */
export function tuningMode(text: string): TuningMode {
  const mode = TUNING_MODES.find(mode => mode === text)
  if (mode === undefined) throw new UserError(`--tune-kernels takes one of ${TUNING_MODES.join(', ')}, not '${text}'`)
  return mode
}

/** Kernels are chosen as in a run: by what was measured on this adapter before. */
export async function chooseKernels(mode: TuningMode, device: Device, seconds?: number): Promise<void> {
  await KernelChoices.begin(mode, device, version, undefined, seconds)
}

/**
 * Opens the adapter whose name contains `name`, or the fastest, as the current device. Throws a UserError if there is
 * none.
 */
export async function openTimedDevice(name: string | undefined, tuning: TuningMode, seconds?: number): Promise<Device> {
  // Timestamps are rounded to 65.5 µs otherwise.
  const dawnFlags = ['disable-dawn-features=timestamp_quantization']
  const { adapter, info } = await openAdapter({ name, dawnFlags })
  const device = await openDevice(adapter, info)
  useDevice(device)
  await chooseKernels(tuning, device, seconds)
  return device
}

/** Dawn's null backend: it checks and encodes all commands and executes none, so what remains is the host's work. */
export async function openNullDevice(): Promise<Device> {
  const create = await loadDawn()
  const adapter = await create(['backend=null']).requestAdapter()
  if (!adapter) throw new Error('Dawn has no null backend here')
  const device = await openDevice(adapter, { name: 'null', vendor: '', architecture: '', fallback: false })
  useDevice(device)
  return device
}
