// navigator.gpu for the peers, which look for a browser's: the same adapter that tilegrad opens, by the same name.
import { openAdapter } from '../../engine/node/adapters.ts'

/** Sets navigator.gpu. Call it before importing a peer. Throws a UserError if there is no such adapter. */
export async function provideNavigatorGpu(adapter: string | undefined): Promise<void> {
  const { gpu } = await openAdapter({ name: adapter })
  Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true })
}
