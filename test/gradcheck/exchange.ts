// Other members in an object for a while.

/** Puts `members` into `target`; gives the function that puts the old ones back. */
export function exchange<T extends object>(target: T, members: Partial<T>): () => void {
  const old = Object.keys(members).map(key => [key, Object.getOwnPropertyDescriptor(target, key)] as const)
  Object.assign(target, members)
  return () => {
    for (const [key, own] of old) {
      if (own) Object.defineProperty(target, key, own)
      else Reflect.deleteProperty(target, key)
    }
  }
}
