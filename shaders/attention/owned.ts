// How the chunks of a row are divided among invocations side by side, each of which keeps its sums in registers: number
// `lane` of `lanes` owns chunks lane, lane + lanes, …, so that neighbours read and write neighbouring memory.
import { each } from '../wgsl.ts'
import { type AttentionLayout, capital, chunksOf } from './common.ts'

/** How many chunks of a row each invocation owns. */
export const ownedChunks = ({ headSize }: AttentionLayout, lanes: number): number =>
  Math.ceil(chunksOf(headSize) / lanes)

/** Declares own0, own1, …: the invocation's chunks, the last of the row in place of those past its end. */
export const declareOwned = (lane: string, lanes: number, owned: number): string =>
  each(owned, t => `let own${t} = min(${lane} + ${t * lanes}u, CHUNKS - 1u);`)

/** Declares the sums of the invocation's chunks of each row: chunk t of row r is `name{r}_{t}`. */
export const declareSums = (name: string, rows: number, owned: number): string =>
  each(rows, r => each(owned, t => `var ${name}${r}_${t} = vec4<f32>();`))

/** Stores the invocation's chunks of the row that begins at `at`. */
export const storeOwned = (
  operand: string,
  at: string,
  value: (t: number) => string,
  lane: string,
  lanes: number,
  owned: number,
): string =>
  each(owned, t => `if (${lane} + ${t * lanes}u < CHUNKS) { store${capital(operand)}(${at}, own${t}, ${value(t)}); }`)
