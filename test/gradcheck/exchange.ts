// Other members in an object for a while.
import { forgetEagerPlans } from '../../engine/compile/eager.ts'

/** Puts `members` into `target`; gives the function that puts the old ones back. */
export function exchange<T extends object>(target: T, members: Partial<T>): () => void {
  const old = Object.keys(members).map(key => [key, Object.getOwnPropertyDescriptor(target, key)] as const)
  Object.assign(target, members)
  // Plans that were made of the other members would be replayed.
  forgetEagerPlans()
  return () => {
    forgetEagerPlans()
    for (const [key, own] of old) {
      if (own) Object.defineProperty(target, key, own)
      else Reflect.deleteProperty(target, key)
    }
  }
}
