// Where parameters and modules stand: each has a parent and a name there, and the names from the root on are its path.
// Places follow from the properties of modules, which are looked at when a path is asked for.

interface Place {
  readonly parent: object
  readonly name: string
}

/** The method by which a module gives its members their places. */
export const placeMembers = Symbol('placeMembers')

export interface Root {
  [placeMembers](): void
}

const places = new WeakMap<object, Place>()
/** Modules that have no parent, as far as is known. */
const roots = new Set<WeakRef<Root>>()
let isSettled = true

/** Says that a module was made. It has no properties yet. */
export function noteModule(module: Root): void {
  roots.add(new WeakRef(module))
  isSettled = false
}

/** Looks at the properties of all modules if there are new ones. */
function settle(): void {
  if (isSettled) return
  // The last: where a module is part of two trees, its path is that in the older one.
  for (const root of [...roots].reverse()) root.deref()?.[placeMembers]()
  for (const root of roots) {
    const module = root.deref()
    if (!module || places.has(module)) roots.delete(root)
  }
  isSettled = true
}

export function place(member: object, parent: object, name: string): void {
  places.set(member, { parent, name })
}

/** Whether it has a parent, as far as is known. */
export const isPlaced = (member: object): boolean => places.has(member)

/** The modules above it, as far as is known. */
export function ancestorsOf(member: object): Set<object> {
  const above = new Set<object>()
  for (let at = places.get(member); at && !above.has(at.parent); at = places.get(at.parent)) above.add(at.parent)
  return above
}

/** Its dotted path from the root: `layers.0.weight`; empty for a root. */
export function pathOf(member: object): string {
  settle()
  let path = ''
  const seen = new Set<object>([member])
  for (let at = places.get(member); at && !seen.has(at.parent); at = places.get(at.parent)) {
    path = joined(at.name, path)
    seen.add(at.parent)
  }
  return path
}

export const joined = (name: string, below: string): string =>
  name === '' || below === '' ? name + below : `${name}.${below}`
