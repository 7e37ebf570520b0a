// tilegrad's engine under Node: the same as index.ts, on the adapter that Dawn finds (or TILEGRAD_ADAPTER names).
import { openDevice, setDeviceProvider } from '../index.ts'
import { openAdapter } from './adapters.ts'

export * from '../index.ts'

setDeviceProvider(async () => {
  const { adapter, info } = await openAdapter()
  return openDevice(adapter, info)
})
