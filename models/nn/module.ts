// Modules: the tree that owns the parameters of a model, and their names.
import { needAll } from '../../engine/options.ts'
import { Parameter } from './parameter.ts'
import { ancestorsOf, isPlaced, joined, noteModule, pathOf, place, placeMembers } from './place.ts'

type Member = Parameter | Module

/** Throws a UserError unless all of these arguments are modules. */
export const needModules = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'a module', argument => argument instanceof Module, given)

/** What is below a module. */
interface Found {
  /** By name, relative to the module. */
  readonly parameters: Map<string, Parameter>
  readonly modules: Module[]
  /** A name that two parameters have. */
  twice?: string
}

/**
 * A part of a model. Its members are the parameters and modules among its properties, also in arrays and plain objects,
 * and are named by where they stand: `hidden.weight`, `layers.0.weight`. A private property (`#teacher`) is not looked
 * at: what stands there is neither trained nor saved.
 */
export abstract class Module {
  /** Members that have another name than their property's, or none. */
  readonly #named = new Map<Member, string>()

  constructor() {
    noteModule(this)
  }

  /** Dotted path from the root: `bert.encoder.layer.0.attention.self.query`; empty for the root. */
  get path(): string {
    return pathOf(this)
  }

  /**
   * Every parameter below, by its name relative to this module, in the order of PyTorch's state dicts: its own before
   * those of its parts. One that stands at several places has the first name. Throws an Error if two have the same name.
   */
  named(): Map<string, Parameter> {
    const { parameters, twice } = this.#walk()
    if (twice !== undefined) throw new Error(`two parameters are called ${twice}`)
    return parameters
  }

  /** Every parameter below, in the same order. */
  parameters(): Parameter[] {
    return [...this.named().values()]
  }

  /** This module and every one below it, parents first. */
  modules(): Module[] {
    return this.#walk().modules
  }

  /** The parameters that training changes, in the order of `named`. */
  trainable(): Parameter[] {
    return this.parameters().filter(parameter => parameter.trainable)
  }

  /** Takes all parameters below out of training. An optimizer trains what is trainable when it is made. */
  freeze(): this {
    for (const parameter of this.parameters()) parameter.trainable = false
    return this
  }

  /** Makes all parameters below trainable. */
  unfreeze(): this {
    for (const parameter of this.parameters()) parameter.trainable = true
    return this
  }

  /**
   * Names a member other than by its property, for files that were made elsewhere. The name may have several parts, or
   * be empty: what is in the member then has the names that it would have here.
   */
  protected add<M extends Member>(name: string, member: M): M {
    const isMember = (given: unknown): boolean => given instanceof Module || given instanceof Parameter
    needAll('add', 'a module or a parameter', isMember, { member })
    this.#named.set(member, name)
    return member
  }

  [placeMembers](): void {
    this.#walk()
  }

  #walk(): Found {
    const found: Found = { parameters: new Map(), modules: [] }
    const isRoot = !isPlaced(this)
    // A property may lead back up.
    const seen = ancestorsOf(this).add(this)
    const visit = (module: Module, path: string): void => {
      found.modules.push(module)
      const parts: [string, Module][] = []
      for (const [name, member] of module.#members()) {
        if (seen.has(member)) continue
        seen.add(member)
        // What a module says of its parts is final only where it is asked for the whole tree.
        if (isRoot || !isPlaced(member)) place(member, module, name)
        const below = joined(path, name)
        if (member instanceof Module) parts.push([below, member])
        else {
          if (found.parameters.has(below)) found.twice = below
          found.parameters.set(below, member)
        }
      }
      for (const [below, part] of parts) visit(part, below)
    }
    visit(this, '')
    return found
  }

  *#members(): Generator<[name: string, member: Member]> {
    const left = new Map(this.#named)
    for (const [key, value] of Object.entries(this)) {
      for (const [name, member] of membersIn(value, key)) {
        yield [left.get(member) ?? name, member]
        left.delete(member)
      }
    }
    for (const [member, name] of left) yield [name, member]
  }
}

/** The members in a value: itself, or those in an array or plain object, in any nesting. */
function* membersIn(value: unknown, name: string, above: readonly unknown[] = []): Generator<[string, Member]> {
  if (value instanceof Module || value instanceof Parameter) yield [name, value]
  else if ((Array.isArray(value) || isPlain(value)) && !above.includes(value)) {
    const within = [...above, value]
    for (const [key, part] of Object.entries(value)) yield* membersIn(part, `${name}.${key}`, within)
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
