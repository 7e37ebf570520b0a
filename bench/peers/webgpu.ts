// navigator.gpu for the peers, which look for a browser's: the same adapter that tilegrad opens, by the same name.
import { openAdapter } from '../../engine/node/adapters.ts'

/** Puts it in place. To be called before a peer is imported. Throws a UserError where there is no such adapter. */
export async function provideNavigatorGpu(adapter: string | undefined): Promise<void> {
  const { gpu } = await openAdapter({ name: adapter })
  Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true })
}
