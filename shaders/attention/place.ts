// What a workgroup computes, and which columns it walks over.
import { wgsl } from '../wgsl.ts'
import type { AttentionLayout, Side } from './common.ts'

/**
 * Tile `tileNumber` of a pair, which is a head of a batch item. Loops over keys end at `extent`; with `group`, the pair
 * is the first of those that share their keys.
 */
export const placeOfPair = (extent = 'extentOf(item)', group = false): string => wgsl`
  let number = group.x + group.y * groups.x;
  if (number >= u.workgroups) { return; }
  let tileNumber = number % u.tiles;
  let pair = u.firstPair + number / u.tiles${group && ' * u.group'};
  let head = pair % u.heads;
  let item = pair / u.heads;
  let extent = ${extent};
  let headRow = pair * u.queries; // the head's first in [batch, heads, queries]
`

/**
 * The same for tiles of `rows` rows of a side. The extent of a tile of queries ends with the keys of its last; that of
 * the queries of a stored matrix does not.
 */
export const place = (rows: number, of: Side | 'stored', layout: AttentionLayout): string => wgsl`
  ${placeOfPair(
    layout.causal && of === 'query' ? `min(extentOf(item), causalEnd((tileNumber + 1u) * ${rows}u))` : undefined,
    of === 'key' && sharesRows(of, layout),
  )}
  let rowStart = tileNumber * ${rows}u;
`

/** The loop over the columns of a tile of rows, `columns` at a time: nothing is computed for padding. */
interface ColumnsLoop {
  /** Declares `end`, and `begin` if that is not 0. */
  readonly declare: string
  readonly begin: '0u' | 'begin'
}

export function columnsLoop(side: Side, columns: number, { causal }: AttentionLayout): ColumnsLoop {
  if (side === 'query') return { declare: 'let end = extent;', begin: '0u' }
  return {
    declare: wgsl`
      var end = u.queries;
      if (rowStart >= extent) { end = 0u; } // all of its keys are padding
      ${causal && `let begin = firstQuery(rowStart) / ${columns}u * ${columns}u; // no query before attends to them`}
    `,
    begin: causal ? 'begin' : '0u',
  }
}

/** Whether the rows of a tile belong to several heads of queries. */
export const sharesRows = (side: Side, { grouped = false }: AttentionLayout): boolean => grouped && side === 'key'

/**
 * What a tile of keys does for each head of queries that shares them: in it, `head` and `headRow` are that head's, and
 * `member` is its number among them. Tiles of queries have one head.
 */
export const eachHead = (side: Side, layout: AttentionLayout, steps: string): string =>
  sharesRows(side, layout)
    ? wgsl`
      let firstHead = head;
      for (var member = 0u; member < u.group; member++) {
        let head = firstHead + member;
        let headRow = (item * u.heads + head) * u.queries;
        ${steps}
      }
    `
    : steps
