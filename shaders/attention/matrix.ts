// Attention by subgroup matrices (tensor cores), for GPUs with f16 operands: f16 fragments, sums in f32. A workgroup
// owns a tile of rows and walks over tiles of columns in workgroup memory; a subgroup owns some of the rows; their
// operands and sums stay in its matrices.
//
// The next tile's columns are prefetched into registers while this tile is computed.
//
// Single elements of a matrix can't be accessed, so scores go through workgroup memory: matrices store them, threads
// compute probabilities in f16, matrices multiply those. For the same reason the forward pass does not rescale its sums
// whenever a row's maximum grows: probabilities are relative to a reference, at first the maximum of the row's first
// keys. Only when they would overflow are references raised and the sums rescaled through workgroup memory.
//
// Random numbers come for four keys of one query at a time, so a thread's share is four keys: of a row where columns
// are keys (rowOf), of a column where rows are (side 'key'). A tile has its columns in the order 0, 4, 8, … 1, 5, 9, …
// where quads lie along rows, so that neighbouring threads, at neighbouring quads, find neighbouring elements.
import { MATRICES, loadFragment, zeroFragment } from '../subgroup-matrix.ts'
import { MAIN, type Shader, each, list, plus, wgsl, written } from '../wgsl.ts'
import { type StagedOperand, Columns } from './columns.ts'
import {
  type AttentionKind,
  type AttentionLayout,
  type Side,
  attentionShader,
  bufferOf,
  capital,
  columnsEnd,
  place,
  sides,
} from './common.ts'
import {
  type MatrixConfig,
  type Pass,
  blockElements,
  describe,
  matrixConfigs,
  matrixName,
  matrixRows,
  pitchOf,
  sharesOf,
  subgroupRows,
  threadsOf,
  tileElements,
} from './matrix-config.ts'

/** Copies rows of an operand to the tile; what stands past the end repeats the last. */
function fillRows(operand: string, bound: string, config: MatrixConfig): string {
  return wgsl`
    for (var at = local; at < ${matrixRows(config)}u * CHUNKS; at += ${threadsOf(config)}u) {
      let i = min(rowStart + at / CHUNKS, ${bound} - 1u);
      let values = ${bufferOf(operand)}[row${operand}(item, i, head) + at % CHUNKS];
      let to = at / CHUNKS * PITCH + at % CHUNKS * 4u;
      ${each(4, e => `tile[${plus('to', e)}] = values[${e}];`)}
    }
  `
}

/** The workgroup's own rows, kept by each subgroup as its left matrices `name…`. */
export function keepRows(
  name: string,
  operand: string,
  bound: string,
  config: MatrixConfig,
  { headSize }: AttentionLayout,
): string {
  const { rows, fragment } = config
  const { m, k } = fragment
  return wgsl`
    ${fillRows(operand, bound, config)}
    workgroupBarrier();
    ${each(rows, i =>
      each(
        headSize / k,
        h =>
          `let ${name}${i}_${h} = ${loadFragment('left', 'tile', plus(`(${plus('subgroupRow', i * m)}) * PITCH`, h * k), 'PITCH', fragment)};`,
      ),
    )}
    workgroupBarrier();
  `
}

export const stagedOperand = (operand: string, bound: string): StagedOperand => ({
  operand,
  name: `staged${operand}`,
  bound,
})

export const columnsOf = (config: MatrixConfig, layout: AttentionLayout): Columns =>
  new Columns({ layout, invocations: threadsOf(config), columns: config.columns, prefetch: true })

/** Writes to the tile's n-th part, of four columns the first to the first quarter and so on, or as they come. */
export function putIn(part: number, side: Side, { columns }: MatrixConfig): string {
  const i = side === 'query' ? `n % 4u * ${columns / 4}u + n / 4u` : 'n'
  return wgsl`
    let to = ${part > 0 ? `${part * columns}u * PITCH + ` : ''}(${i}) * PITCH + c * 4u;
    ${each(4, e => `tile[${plus('to', e)}] = value[${e}];`)}
  `
}

export const zeroSums = (name: string, rows: number, count: number, { fragment }: MatrixConfig): string =>
  each(rows, i => each(count, j => `var ${name}${i}_${j} = ${zeroFragment(fragment)};`))

/** scores = left · (the tile's n-th part)ᵀ for the subgroup's rows, stored to `block`. */
export function products(
  block: string,
  left: string,
  part: number,
  config: MatrixConfig,
  { headSize }: AttentionLayout,
): string {
  const { rows, columns, fragment } = config
  const { m, n, k } = fragment
  return wgsl`
    {
      ${zeroSums('s', rows, columns / n, config)}
      ${each(
        headSize / k,
        h => wgsl`
        {
          ${each(
            columns / n,
            j => wgsl`
            let right${j} = ${loadFragment('right turned', 'tile', plus(`${part * columns + j * n}u * PITCH`, h * k), 'PITCH', fragment)};
            ${each(rows, i => `s${i}_${j} = subgroupMatrixMultiplyAccumulate(${left}${i}_${h}, right${j}, s${i}_${j});`)}
          `,
          )}
        }
      `,
      )}
      ${each(rows, i =>
        each(
          columns / n,
          j =>
            `subgroupMatrixStore<row_major>(&${block}, ${plus(`(${plus('subgroupRow', i * m)}) * BLOCK_PITCH`, j * n)}, s${i}_${j}, BLOCK_PITCH);`,
        ),
      )}
    }
  `
}

/** sum += left · the tile's n-th part. */
function accumulate(
  sum: string,
  left: string,
  part: number,
  config: MatrixConfig,
  { headSize }: AttentionLayout,
): string {
  const { rows, columns, fragment } = config
  const { m, n, k } = fragment
  return each(
    columns / k,
    c => wgsl`
    {
      ${each(rows, i => `let left${i} = ${loadFragment('left', left, plus(`(${plus('subgroupRow', i * m)}) * BLOCK_PITCH`, c * k), 'BLOCK_PITCH', fragment)};`)}
      ${each(
        headSize / n,
        j => wgsl`
        let right${j} = ${loadFragment('right', 'tile', plus(`${part * columns + c * k}u * PITCH`, j * n), 'PITCH', fragment)};
        ${each(rows, i => `${sum}${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, ${sum}${i}_${j});`)}
      `,
      )}
    }
  `,
  )
}

/**
 * Stores the subgroup's sums to the memory of the scores, as many columns at a time as fit there. `body` runs for each
 * chunk of row `row`, whose elements start at `begin`. `back`: the values are loaded back into the matrices afterwards.
 */
function throughScores(
  sum: string,
  back: boolean,
  body: (chunk: string) => string,
  config: MatrixConfig,
  { headSize }: AttentionLayout,
): string {
  const { rows, columns, fragment } = config
  const { m, n, lanes } = fragment
  return each(Math.ceil(headSize / columns), slice => {
    const first = slice * columns
    const width = Math.min(columns, headSize - first)
    const fragments = (line: (name: string, at: string) => string): string =>
      each(rows, i =>
        each(width / n, j =>
          line(`${sum}${i}_${first / n + j}`, plus(`(${plus('subgroupRow', i * m)}) * BLOCK_PITCH`, j * n)),
        ),
      )
    return wgsl`
      workgroupBarrier();
      ${fragments((name, at) => `subgroupMatrixStore<row_major>(&scores, ${at}, ${name}, BLOCK_PITCH);`)}
      workgroupBarrier();
      for (var at = lane; at < ${(subgroupRows(config) * width) / 4}u; at += ${lanes}u) {
        let c = at % ${width / 4}u;
        let row = subgroupRow + at / ${width / 4}u;
        let begin = row * BLOCK_PITCH + 4u * c;
        ${body(`${first / 4}u + c`)}
      }
      ${
        back
          ? wgsl`
        workgroupBarrier();
        ${fragments((name, at) => `${name} = ${loadFragment('sum', 'scores', at, 'BLOCK_PITCH', fragment)};`)}
      `
          : ''
      }
    `
  })
}

/** Stores the subgroup's sums to an operand. */
export function storeSums(
  sum: string,
  name: string,
  bound: string,
  value: (sum: string) => string,
  config: MatrixConfig,
  layout: AttentionLayout,
): string {
  const operand = capital(name)
  return throughScores(
    sum,
    false,
    chunk => wgsl`
    let i = rowStart + row;
    if (i < ${bound}) {
      store${operand}(row${operand}(item, i, head), ${chunk}, ${value(`vec4<f32>(${list(4, e => `scores[${plus('begin', e)}]`)})`)});
    }
  `,
    config,
    layout,
  )
}

/**
 * Repeats what a thread does in a turn: written out for a few turns, which run side by side, in a loop for many. Random
 * numbers take some hundreds of instructions a turn, and many of those don't fit a GPU's instruction cache.
 *
 * A turn's result may go to variable `result` and its number `n`: a loop moves them on, so that each ends as its turn's
 * own.
 */
export function turnByTurn(
  turns: number,
  { dropout }: AttentionLayout,
  body: (turn: string, n: number) => string,
  result?: string,
): string {
  const together = turns % 4 === 0 && !dropout ? 4 : turns % 2 === 0 ? 2 : 1
  if (turns === together) return each(turns, t => scoped(body(`${t}u`, t)))
  const moved =
    result === undefined
      ? ''
      : wgsl`
    ${each(together, n => `let new${n} = ${result}${n};`)}
    ${each(turns - together, t => `${result}${t} = ${result}${t + together};`)}
    ${each(together, n => `${result}${turns - together + n} = new${n};`)}
  `
  return wgsl`
    for (var turn = 0u; turn < ${turns}u; turn += ${together}u) {
      ${together === 1 ? body('turn', 0) : each(together, t => scoped(body(t === 0 ? 'turn' : `turn + ${t}u`, t)))}
      ${moved}
    }
  `
}

const scoped = (body: string): string => wgsl`
  {
    ${body}
  }
`

/** The row that a thread works on in a turn, where its share is quads along rows. */
function rowFunction(pass: Pass, config: MatrixConfig): string {
  if (pass === 'key') return ''
  const { across, groups, turns } = sharesOf(pass, config)
  // Distance of the rows of one turn: their quads are in different banks.
  const distance = Math.max(1, across / 8)
  const sum =
    turns % distance === 0 && distance > 1
      ? `turn / ${distance}u * ${groups * distance}u + lane / ${across}u * ${distance}u + turn % ${distance}u`
      : `turn * ${groups}u + lane / ${across}u`
  return wgsl`
    // The row, counted from the subgroup's first, that a thread works on in a turn
    fn rowOf(turn: u32, lane: u32) -> u32 {
      return ${sum};
    }
  `
}

/** Workgroup memory, and how threads read and write their shares of it. */
export function memory(pass: Pass, config: MatrixConfig, layout: AttentionLayout): string {
  const scores = pass === 'forward' ? ['scores'] : ['scores', 'dProbabilities']
  const operands = { forward: ['probabilities'], query: ['dScores'], key: ['probabilities', 'dScores'], weights: [] }[
    pass
  ]
  const places = ['at', 'at + STEP', 'at + 2u * STEP', 'at + 3u * STEP']
  return wgsl`
    const PITCH = ${pitchOf(layout.headSize)}u; // of the tile
    const BLOCK_PITCH = ${pitchOf(config.columns)}u; // of scores and what is computed from them
    const STEP = ${pass === 'key' ? 'BLOCK_PITCH' : `${sharesOf(pass, config).across}u`}; // between the keys of a thread's four
    var<workgroup> tile: array<f16, ${tileElements(config, layout)}>;
    ${scores.map(name => `var<workgroup> ${name}: array<f32, ${blockElements(config)}>;`)}
    ${operands.map(name => `var<workgroup> ${name}: array<f16, ${blockElements(config)}>;`)}
    ${pass === 'key' ? '' : `var<workgroup> rowStatistics: array<vec2<f32>, ${matrixRows(config)}>;`}
    ${pass === 'forward' ? 'var<workgroup> grown: array<atomic<u32>, 4>; // the first is 1 if probabilities are too large; all arrays begin at sixteen bytes' : ''}

    ${scores.map(
      name => wgsl`
      fn ${name}At(at: u32) -> vec4<f32> {
        return vec4<f32>(${places.map(at => `${name}[${at}]`).join(', ')});
      }
    `,
    )}
    ${operands.map(
      name => wgsl`
      fn put${capital(name)}(at: u32, x: vec4<f32>) {
        ${places.map((at, e) => `${name}[${at}] = f16(x[${e}]);`)}
      }
    `,
    )}
    ${rowFunction(pass, config)}
  `
}

export const main = (pass: Pass, config: MatrixConfig, steps: string): string => wgsl`
  @compute @workgroup_size(${threadsOf(config)})
  fn main(${MAIN}) {
    ${place(matrixRows(config))}
    let lane = local % ${config.fragment.lanes}u;
    let subgroupRow = local / ${config.fragment.lanes}u * ${subgroupRows(config)}u; // the subgroup's first row of the tile
    ${pass !== 'key' && `let quad = lane % ${sharesOf(pass, config).across}u;`}
    ${steps}
  }
`

/** Bound on the sum of a thread's four probabilities: about e⁸, so that each fits f16 with a margin. */
const LARGEST_PROBABILITIES = '2980.0'

/** Forward: o and lse. */
function matrixForwardShader(config: MatrixConfig, layout: AttentionLayout): Shader {
  const {
    rows,
    columns,
    fragment: { n },
  } = config
  const { turns } = sharesOf('forward', config)
  const staging = columnsOf(config, layout)
  const everyRow = `for (var row = local; row < ${matrixRows(config)}u; row += ${threadsOf(config)}u)`
  const [keys, values] = [stagedOperand('K', 'u.keys'), stagedOperand('V', 'u.keys')]
  const putKeys = staging.put(keys, 'start', putIn(0, 'query', config))
  const ofTurn = (t: number): string => `subgroupRow + rowOf(${t}u, lane)`
  const largest = Array.from({ length: turns }, (_, t) => `added${t}`).reduce((all, one) => `max(${all}, ${one})`)
  return attentionShader({
    title: `attention forward ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v'],
    writes: ['o'],
    extra: { lse: written('f32') },
    needs: MATRICES,
    code: wgsl`
      ${memory('forward', config, layout)}

      ${main(
        'forward',
        config,
        wgsl`
        ${staging.declare(keys)}
        ${staging.declare(values)}
        ${staging.read(keys, '0u')}
        ${staging.read(values, '0u')}
        // Each row's reference, and what rescales its sums
        ${everyRow} { rowStatistics[row].x = LOWEST; }
        ${keepRows('query', 'Q', 'u.queries', config, layout)}
        ${zeroSums('sum', rows, layout.headSize / n, config)}
        // Totals of this thread's quads
        ${each(turns, t => `var total${t} = 0.0;`)}
        ${putKeys}
        ${staging.read(keys, `${columns}u`)}
        workgroupBarrier();
        for (var start = 0u; start < extent; start += ${columns}u) {
          ${products('scores', 'query', 0, config, layout)}
          workgroupBarrier();
          // This tile's values, and the next one's keys: those before are done with.
          ${staging.put(values, 'start', putIn(1, 'query', config))}
          ${putKeys}
          ${staging.read(values, `start + ${columns}u`)}
          ${staging.read(keys, `start + ${2 * columns}u`)}
          let key = start + 4u * quad;
          let open = allowed4(item, key, extent);
          ${each(turns, t => `var added${t}: f32;`)}
          var raised = start == 0u;
          loop {
            if (raised) {
              // References become the row maxima so far.
              ${everyRow} {
                let before = rowStatistics[row].x;
                var rowMax = before;
                for (var n = 0u; n < STEP; n++) {
                  let other = (n + row) % STEP; // neighbours read different banks
                  let open = allowed4(item, start + 4u * other, extent);
                  let s = select(vec4<f32>(LOWEST), u.scale * scoresAt(row * BLOCK_PITCH + other), open);
                  rowMax = max(rowMax, max(max(s.x, s.y), max(s.z, s.w)));
                }
                rowStatistics[row] = vec2<f32>(rowMax, exp(before - rowMax));
              }
              if (local == 0u) { atomicStore(&grown[0], 0u); }
              workgroupBarrier();
            }
            ${turnByTurn(
              turns,
              layout,
              (turn, n) => wgsl`
              let row = subgroupRow + rowOf(${turn}, lane);
              let at = row * BLOCK_PITCH + quad;
              let p = select(vec4<f32>(), exp(u.scale * scoresAt(at) - rowStatistics[row].x), open);
              added${n} = dot(p, vec4<f32>(1.0));
              ${layout.dropout ? 'let probability = select(vec4<f32>(), p, keep4(headRow + rowStart + row, key) > vec4<f32>());' : 'let probability = p;'}
              putProbabilities(at, probability);
            `,
              'added',
            )}
            if (${largest} > ${LARGEST_PROBABILITIES}) { atomicStore(&grown[0], 1u); }
            // Once more at most: NaNs could ask for that for ever.
            if (workgroupUniformLoad(&grown[0]) == 0u || raised) { break; }
            raised = true;
          }
          if (raised && start > 0u) {
            ${each(turns, t => `total${t} *= rowStatistics[${ofTurn(t)}].y;`)}
            ${throughScores(
              'sum',
              true,
              () => wgsl`
              let factor = rowStatistics[row].y;
              ${each(4, e => `scores[${plus('begin', e)}] *= factor;`)}
            `,
              config,
              layout,
            )}
            workgroupBarrier();
          }
          ${each(turns, t => `total${t} += added${t};`)}
          ${accumulate('sum', 'probabilities', 1, config, layout)}
        }
        ${each(turns, t => `scores[(${ofTurn(t)}) * BLOCK_PITCH + quad] = total${t};`)}
        workgroupBarrier();
        ${everyRow} {
          var total = 0.0;
          for (var other = 0u; other < STEP; other++) { total += scores[row * BLOCK_PITCH + other]; }
          let reference = rowStatistics[row].x;
          // A row that attends to nothing gives zeros.
          rowStatistics[row].y = select(0.0, ${layout.dropout ? 'u.keepScale' : '1.0'} / total, total > 0.0);
          let i = rowStart + row;
          if (i < u.queries) { lse[headRow + i] = select(0.0, reference + log(total), total > 0.0); }
        }
        ${storeSums('sum', 'o', 'u.queries', value => `rowStatistics[row].y * ${value}`, config, layout)}
      `,
      )}
    `,
  })
}

/** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
function matrixGradientShader(side: Side, config: MatrixConfig, layout: AttentionLayout): Shader {
  const {
    rows,
    columns,
    fragment: { n },
  } = config
  const { a1, a2, b1, b2, rows: rowBound, columns: columnBound, writes } = sides(side)
  const query = side === 'query'
  const staging = columnsOf(config, layout)
  const [one, two] = [stagedOperand(b1, columnBound), stagedOperand(b2, columnBound)]
  return attentionShader({
    title: `attention gradient of the ${side} side, ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes,
    extra: { statistics: 'vec2<f32>' },
    needs: MATRICES,
    code: wgsl`
      ${memory(side, config, layout)}

      ${main(
        side,
        config,
        wgsl`
        ${
          query
            ? wgsl`
          for (var row = local; row < ${matrixRows(config)}u; row += ${threadsOf(config)}u) {
            rowStatistics[row] = statistics[headRow + min(rowStart + row, u.queries - 1u)];
          }
        `
            : ''
        }
        ${keepRows('one', a1, rowBound, config, layout)}
        ${keepRows('two', a2, rowBound, config, layout)}
        ${zeroSums('sumOne', rows, layout.headSize / n, config)}
        ${query ? '' : zeroSums('sumTwo', rows, layout.headSize / n, config)}
        ${columnsEnd(side)}
        ${staging.declare(one)}
        ${staging.declare(two)}
        ${staging.read(one, '0u')}
        ${staging.read(two, '0u')}
        for (var start = 0u; start < end; start += ${columns}u) {
          workgroupBarrier();
          ${staging.put(one, 'start', putIn(0, side, config))}
          ${staging.put(two, 'start', putIn(1, side, config))}
          workgroupBarrier();
          ${staging.read(one, `start + ${columns}u`)}
          ${staging.read(two, `start + ${columns}u`)}
          ${products('scores', 'one', 0, config, layout)}
          ${products('dProbabilities', 'two', 1, config, layout)}
          workgroupBarrier();
          ${query ? queryDScores(config, layout) : keyDScores(config, layout)}
          workgroupBarrier();
          ${
            query
              ? accumulate('sumOne', 'dScores', 0, config, layout)
              : wgsl`
            ${accumulate('sumOne', 'dScores', 0, config, layout)}
            ${accumulate('sumTwo', 'probabilities', 1, config, layout)}
          `
          }
        }
        ${
          query
            ? storeSums('sumOne', 'dq', rowBound, value => `u.scale * ${value}`, config, layout)
            : wgsl`
          // What a masked key gathered may be anything.
          ${storeSums('sumOne', 'dk', rowBound, value => `select(vec4<f32>(), u.scale * ${value}, allowed(item, i, extent))`, config, layout)}
          ${storeSums('sumTwo', 'dv', rowBound, value => `select(vec4<f32>(), ${value}, allowed(item, i, extent))`, config, layout)}
        `
        }
      `,
      )}
    `,
  })
}

/** Gradients of the scores, for four keys of a query at a time: p · (z · dp − mean). */
function queryDScores(config: MatrixConfig, layout: AttentionLayout): string {
  const { turns } = sharesOf('query', config)
  return wgsl`
    let key = start + 4u * quad;
    let open = allowed4(item, key, extent);
    ${turnByTurn(
      turns,
      layout,
      turn => wgsl`
      let row = subgroupRow + rowOf(${turn}, lane);
      let at = row * BLOCK_PITCH + quad;
      let statistic = rowStatistics[row];
      let p = select(vec4<f32>(), exp(u.scale * scoresAt(at) - statistic.x), open);
      let dScore = p * (${layout.dropout ? 'keep4(headRow + rowStart + row, key) * ' : ''}dProbabilitiesAt(at) - statistic.y);
      putDScores(at, dScore);
    `,
    )}
  `
}

/** The same with keys along rows, and the probabilities. */
function keyDScores(config: MatrixConfig, layout: AttentionLayout): string {
  const { across, groups, turns } = sharesOf('key', config)
  const factor = layout.dropout ? 'factor * ' : ''
  const group = groups === 1 ? '' : ` + lane / ${across}u`
  return wgsl`
    for (var column = lane % ${across}u; column < ${config.columns}u; column += ${across}u) {
      let query = start + column;
      let statistic = statistics[headRow + min(query, u.queries - 1u)];
      let open = query < u.queries;
      ${turnByTurn(
        turns,
        layout,
        turn => wgsl`
        let row = subgroupRow + 4u * (${groups === 1 ? turn : `(${turn}) * ${groups}u`}${group});
        let at = row * BLOCK_PITCH + column;
        let p = select(vec4<f32>(), exp(u.scale * scoresAt(at) - statistic.x), open);
        ${layout.dropout ? 'let factor = keep4(headRow + query, rowStart + row);' : ''}
        let dScore = p * (${factor}dProbabilitiesAt(at) - statistic.y);
        let probability = ${factor}p;
        putDScores(at, dScore);
        putProbabilities(at, probability);
      `,
      )}
    }
  `
}

export const matrix: AttentionKind<MatrixConfig> = {
  candidates: matrixConfigs,
  name: matrixName,
  rows: matrixRows,
  forward: matrixForwardShader,
  gradient: matrixGradientShader,
}
