// Arenas: parameters of an optimizer lie side by side in a few large variables, so that one dispatch updates them all,
// whatever their number. Values move there from where they were.
import { type Variable, UserError, concat, variable } from '../../engine/index.ts'
import type { Tensor } from '../../engine/tensor.ts'
import type { Parameter } from '../../models/nn.ts'

/** Parameters begin at multiples of this many elements: 256 bytes, where a binding may begin. */
export const ALIGNMENT = 64

/** A parameter's place in an arena. */
export interface Held {
  readonly parameter: Parameter
  readonly offset: number
}

/** One stretch of memory for many parameters. */
export interface Arena {
  readonly held: readonly Held[]
  readonly size: number
  readonly values: Variable
  /** What the optimizer keeps of every element, in the order of its rule's slots. */
  readonly slots: readonly Variable[]
}

/** Arenas that have taken over the storage of parameters. */
export interface TakenOver {
  readonly arenas: readonly Arena[]
  /** Allocates memory for values that have to move, moves them, and frees their old memory. */
  settle(): Promise<void>
}

/**
 * Moves parameters into as few arenas of at most `maxBytes` as possible, in their order. `name` is the beginning of the
 * variables' names, `slots` what is kept beside the values.
 */
export function takeOver(
  parameters: readonly Parameter[],
  name: string,
  slots: readonly string[],
  maxBytes: number,
): TakenOver {
  const packs = pack(parameters, maxBytes).map(({ held, size }, i) => {
    const flat = (part: string): Variable => variable({ shape: [size], dtype: 'f32' }, `${name}.${i}.${part}`)
    const values = variable({ shape: [size], dtype: 'f32' }, `${name}.${i}.values`, () =>
      moves.flatMap(move => move.contents()),
    )
    const moves = held.map(({ parameter, offset }) => parameter.moveTo(values, offset))
    return { arena: { held, size, values, slots: slots.map(flat) }, moves }
  })
  return {
    arenas: packs.map(({ arena }) => arena),
    async settle() {
      for (const { arena, moves } of packs) {
        if (moves.some(({ isPending }) => isPending)) await arena.values.allocate()
        for (const move of moves) move.finish()
      }
    },
  }
}

function pack(parameters: readonly Parameter[], maxBytes: number): { held: Held[]; size: number }[] {
  const packs: { held: Held[]; size: number }[] = []
  for (const parameter of parameters) {
    const length = Math.ceil(parameter.size / ALIGNMENT) * ALIGNMENT
    let last = packs.at(-1)
    if (!last || (last.size + length) * 4 > maxBytes) {
      last = { held: [], size: 0 }
      packs.push(last)
    }
    last.held.push({ parameter, offset: last.size })
    last.size += length
  }
  return packs
}

/** Tensors in the order and at the places of an arena's parameters, as one flat tensor f32; gaps are 0. */
export function flattened({ held, size }: Pick<Arena, 'held' | 'size'>, of: (parameter: Parameter) => Tensor): Tensor {
  return concat(
    held.flatMap(({ parameter, offset }, i) => {
      const end = i + 1 < held.length ? held[i + 1].offset : size
      const gap = end - offset - parameter.size
      const flat = of(parameter).cast('f32').reshape([parameter.size])
      return gap > 0 ? [flat.pad([0], [gap])] : [flat]
    }),
  )
}

/** Throws a UserError if another optimizer has taken over a parameter meanwhile. */
export function checkOwned({ held, values }: Arena): void {
  const lost = held.find(({ parameter: { home }, offset }) => home.variable !== values || home.offset !== offset)
  if (lost) throw new UserError(`${lost.parameter.name} was taken over by another optimizer: train it by that one`)
}
