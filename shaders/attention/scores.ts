// What becomes of the products of queries and keys: scaled, with the bias added, they are scores; those that mask,
// causality or a bias of −∞ close weigh nothing.
//
// A mask of keys, [batch, keys], is known to loops over keys, which end with the last that is allowed. Any other mask
// is read score by score. Both come as bits in the control buffer (rows.ts). In causal attention loops end, or begin,
// with the tile on the diagonal.
import { type Part, list, paragraphs, plus, when, wgsl } from '../wgsl.ts'
import type { AttentionLayout } from './common.ts'

/** Neighbouring scores that a kernel takes together: `width` keys of one query, or queries of one key. */
export interface Neighbours {
  readonly along: 'keys' | 'queries'
  readonly width: 1 | 2 | 4
}

/** Whether scores are closed one by one, by `isOpen`, and not just those of masked keys, by `allowed`. */
export const closesScores = ({ causal = false, mask, bias = false }: AttentionLayout): boolean =>
  causal || bias || mask === 'scores'

/** Declares the bias of neighbours from a `place` on: the first query and the first key, as arguments. */
export const declareBias = (name: string, place: string, { bias }: AttentionLayout): Part =>
  bias && `let ${name} = biasAt(item, head, ${place});`

/** A product as a score, or some as a vector; `added` is their bias. */
export const scoreOf = (product: string, added: string, { bias }: AttentionLayout): string =>
  `u.scale * ${product}${bias ? ` + ${added}` : ''}`

/** Whether scores from a `place` on are open, where they may be closed one by one. */
export const isOpen = (place: string, added: string, { bias }: AttentionLayout): string =>
  `isOpen(item, head, ${place}, extent${bias ? `, ${added}` : ''})`

/** The functions of a kernel, which takes scores as `together`, if it works on scores at all. */
export function scoreFunctions(layout: AttentionLayout, together: Neighbours | undefined): string[] {
  return [
    keyFunctions(layout.mask === 'keys'),
    layout.causal ? causalFunctions : '',
    together && layout.bias ? biasFunction(together) : '',
    together && closesScores(layout) ? openFunction(layout, together) : '',
  ]
}

function keyFunctions(mask: boolean): string {
  return wgsl`
    // One past the last key that is attended to: loops over keys end there.
    fn extentOf(item: u32) -> u32 {
      return ${mask ? 'control[1u + item * (1u + u.maskWords)]' : 'u.keys'};
    }
    fn allowed(item: u32, key: u32, extent: u32) -> bool {
      ${!mask && 'return key < extent;'}
      ${when(mask)`
        let word = min(key / 32u, u.maskWords - 1u);
        return key < extent && ((control[2u + item * (1u + u.maskWords) + word] >> (key % 32u)) & 1u) != 0u;
      `}
    }
    // The same of keys key … key + 3; key is a multiple of four.
    fn allowed4(item: u32, key: u32, extent: u32) -> vec4<bool> {
      let keys = key + vec4<u32>(0u, 1u, 2u, 3u);
      ${!mask && 'return keys < vec4<u32>(extent);'}
      ${when(mask)`
        let word = control[2u + item * (1u + u.maskWords) + min(key / 32u, u.maskWords - 1u)];
        return (keys < vec4<u32>(extent)) & (((vec4<u32>(word) >> (keys % 32u)) & vec4<u32>(1u)) != vec4<u32>(0u));
      `}
    }
  `
}

const causalFunctions = wgsl`
  // One past the last key that the queries before \`end\` attend to.
  fn causalEnd(end: u32) -> u32 {
    return max(end + u.keys, u.queries) - u.queries;
  }
  // The first query that attends to a key.
  fn firstQuery(key: u32) -> u32 {
    return max(key + u.queries, u.keys) - u.keys;
  }
`

const vectorOf = (type: string, width: 1 | 2 | 4): string => (width === 1 ? type : `vec${width}<${type}>`)

/** Declares the neighbours' queries and keys. */
function neighbours({ along, width }: Neighbours): string {
  const vector = vectorOf('u32', width)
  const following = (first: string): string =>
    width === 1 ? first : `${first} + ${vector}(${list(width, i => `${i}u`)})`
  return wgsl`
    let queries = ${along === 'queries' ? following('query') : `${vector}(query)`};
    let keys = ${along === 'keys' ? following('key') : `${vector}(key)`};
  `
}

/** Whether queries attend to keys; false where either doesn't exist. Keys begin at a multiple of their number. */
function openFunction({ causal, mask, bias }: AttentionLayout, together: Neighbours): string {
  const { along, width } = together
  const [bools, words] = [vectorOf('bool', width), vectorOf('u32', width)]
  const all = (word: string): string => `${words}(${word})`
  const allowed = (i: number): string => `allowed(item, ${plus('key', i)}, extent)`
  const keysAllowed = width === 4 ? 'allowed4(item, key, extent)' : `${bools}(${list(width, allowed)})`
  // The keys of a query are in one word.
  const maskWord = (i: number): string => `maskWord(item, head, ${plus('query', i)}, key)`
  const conditions: Part = [
    along === 'keys' ? keysAllowed : `${bools}(${allowed(0)})`,
    `& (queries < ${all('u.queries')})`,
    causal && '& (keys + u.queries <= queries + u.keys)',
    bias && `& ((biasBits < ${all('LOWEST_BITS')}) | (biasBits > ${all('INFINITY_BITS')}))`,
    mask === 'scores' && `& (((bits >> (keys % 32u)) & ${all('1u')}) != ${all('0u')})`,
  ]
  return paragraphs(
    mask === 'scores' &&
      wgsl`
      // Bits of a mask's row, that of the key among them.
      fn maskWord(item: u32, head: u32, query: u32, key: u32) -> u32 {
        let row = item * u.maskItem + head * u.maskHead + min(query, u.queries - 1u) * u.maskQuery;
        return control[1u + row * u.maskWords + min(key / 32u, u.maskWords - 1u)];
      }
    `,
    bias &&
      wgsl`
      // Of LOWEST and −∞, as bits: compilers may assume that no number is infinite.
      const LOWEST_BITS = 0xff7fc99eu;
      const INFINITY_BITS = 0xff800000u;
    `,
    wgsl`
      fn isOpen(item: u32, head: u32, query: u32, key: u32, extent: u32${bias && `, added: ${vectorOf('f32', width)}`}) -> ${bools} {
        ${neighbours(together)}
        ${bias && `let biasBits = bitcast<${words}>(added);`}
        ${mask === 'scores' && `let bits = ${words}(${along === 'keys' ? maskWord(0) : list(width, maskWord)});`}
        return
          ${conditions};
      }
    `,
  )
}

/** The bias of the neighbours. Past the last query or key it is that of the last. */
function biasFunction({ along, width }: Neighbours): string {
  const element = (i: number): string =>
    along === 'queries'
      ? `biasOf(item, head, ${plus('query', i)}, key)`
      : `biasOf(item, head, query, ${plus('key', i)})`
  return wgsl`
    fn biasOf(item: u32, head: u32, query: u32, key: u32) -> f32 {
      let row = u.biasOffset + item * u.biasItem + head * u.biasHead + min(query, u.queries - 1u) * u.biasQuery;
      return bias[row + min(key, u.keys - 1u) * u.biasKey];
    }
    fn biasAt(item: u32, head: u32, query: u32, key: u32) -> ${vectorOf('f32', width)} {
      return ${vectorOf('f32', width)}(${list(width, element)});
    }
  `
}
