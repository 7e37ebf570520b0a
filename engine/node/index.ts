// tilegrad's engine under Node: index.ts with the adapter that Dawn finds, or that TILEGRAD_ADAPTER names.
import { openDevice, setCollector, setDeviceProvider } from '../index.ts'
import { openAdapter } from './adapters.ts'
import { collectNow } from './garbage.ts'

export * from '../index.ts'

setCollector(collectNow)
setDeviceProvider(async () => {
  const { adapter, info } = await openAdapter()
  return openDevice(adapter, info)
})
