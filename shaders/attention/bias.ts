// The gradient of a bias that is added to the scores: dScores, summed over the batch items and heads that share it. It
// has its own kernels, which compute the scores again: a workgroup owns a tile of queries and keys, and goes through the
// pairs of item and head that share an element of the bias, or a part of them, with its sums in registers. No float is
// added to by two workgroups.
//
// The result is [batch or 1, heads or 1, queries, keys], f32, the first two as in the bias.
import { type Launch, type Slot, spread } from '../kernel.ts'
import { MAIN, Shader, type ShaderParts, wgsl, written } from '../wgsl.ts'
import type { AttentionLayout, AttentionProblem } from './common.ts'

/** The result's buffer and uniforms. */
export const biasGradient = {
  extra: { dBias: written('f32') },
  uniforms: {
    rowTiles: 'u32',
    places: 'u32',
    headPlaces: 'u32',
    placeHeads: 'u32',
    placePairs: 'u32',
    shareSize: 'u32',
  },
} as const satisfies Pick<ShaderParts, 'uniforms'> & { readonly extra: ShaderParts['bindings'] }

/** How the pairs of batch items and heads are divided among workgroups. */
interface Division {
  /** Items times heads that the bias tells apart, and heads of these. */
  readonly places: number
  readonly headPlaces: number
  /** How many pairs share a place, and how many of these are heads of an item. */
  readonly placePairs: number
  readonly placeHeads: number
  /** Shares of these pairs, each with a sum of its own, and their size. */
  readonly shares: number
  readonly shareSize: number
}

/** So many workgroups occupy a GPU, or a CPU's cores. */
const ENOUGH_WORKGROUPS = { gpu: 512, cpu: 32 }

export function divisionOf(problem: AttentionProblem, tiles: number, cpu: boolean): Division {
  const { batch, heads, bias } = problem
  if (!bias) throw new Error('no bias, and no gradient of one')
  const [itemPlaces, headPlaces] = bias.shape
  const places = itemPlaces * headPlaces
  const placePairs = (batch * heads) / places
  const wanted = Math.ceil(ENOUGH_WORKGROUPS[cpu ? 'cpu' : 'gpu'] / (tiles * places))
  const shareSize = Math.ceil(placePairs / Math.min(wanted, placePairs))
  return {
    places,
    headPlaces,
    placePairs,
    placeHeads: heads / headPlaces,
    shares: Math.ceil(placePairs / shareSize),
    shareSize,
  }
}

/** Where a workgroup's tile begins. */
export const placeOfBias = (rows: number, columns: number): string => wgsl`
  let number = group.x + group.y * groups.x;
  if (number >= u.workgroups) { return; }
  let tileNumber = number % u.tiles;
  let rowStart = tileNumber % u.rowTiles * ${rows}u;
  let columnStart = tileNumber / u.rowTiles * ${columns}u;
  let sharePlace = number / u.tiles;
  let place = sharePlace % u.places;
  let firstPairOfPlace = sharePlace / u.places * u.shareSize;
`

/** Goes through the share's pairs of batch item and head that attend to anything in a tile of `rows` queries. */
export const eachPairOfBias = (rows: number, { causal }: AttentionLayout, steps: string): string => wgsl`
  for (var n = firstPairOfPlace; n < min(firstPairOfPlace + u.shareSize, u.placePairs); n++) {
    let head = place % u.headPlaces + n % u.placeHeads;
    let item = place / u.headPlaces + n / u.placeHeads;
    let headRow = (item * u.heads + head) * u.queries;
    let extent = ${causal ? `min(extentOf(item), causalEnd(rowStart + ${rows}u))` : 'extentOf(item)'};
    if (columnStart >= extent) { continue; }
    ${steps}
  }
`

/** Stores a sum of a query and a key that exist. */
export const storeBias = (query: string, key: string, sum: string): string =>
  `dBias[(sharePlace * u.queries + ${query}) * u.keys + ${key}] = ${sum};`

const SUM_INVOCATIONS = 64

const sumShader = new Shader({
  title: 'attention gradient of the bias: sum of the shares',
  bindings: { shares: 'f32', dBias: written('f32') },
  uniforms: { size: 'u32', count: 'u32' },
  code: wgsl`
    @compute @workgroup_size(${SUM_INVOCATIONS})
    fn main(${MAIN}) {
      let i = (group.x + group.y * groups.x) * ${SUM_INVOCATIONS}u + local;
      if (i >= u.size) { return; }
      var sum = 0.0;
      for (var share = 0u; share < u.count; share++) { sum += shares[share * u.size + i]; }
      dBias[i] = sum;
    }
  `,
})

/** The sum of `count` shares of the whole result. */
export function biasSumLaunch(problem: AttentionProblem, count: number, shares: Slot, dBias: Slot): Launch {
  const size = biasGradientSize(problem)
  return sumShader.launch({
    label: 'attention gradient of the bias, sum',
    slots: { shares, dBias },
    uniforms: { size, count },
    workgroups: spread(Math.ceil(size / SUM_INVOCATIONS), problem.maxWorkgroups),
  })
}

/** Elements of the result. */
export const biasGradientSize = ({ bias, queries, keys }: AttentionProblem): number =>
  bias ? bias.shape[0] * bias.shape[1] * queries * keys : 0
