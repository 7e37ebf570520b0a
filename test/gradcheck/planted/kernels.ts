// Wrong kernels, views and oracles, each a mistake that people make.
import {
  type Plant,
  wrongElement,
  wrongKernel,
  wrongKernelOp,
  wrongReference,
  wrongScalar,
  wrongView,
} from './plant.ts'

const needsHalf: Plant['hidden'] = ({ info, traits }) => (traits.f16 ? undefined : `${info.name} has no shader-f16`)
const needsEight: Plant['hidden'] = ({ info, traits: { subgroupSize } }) =>
  subgroupSize > 0 && subgroupSize % 8 === 0 ? undefined : `${info.name} has no subgroups of 8, 16, …`

const elementwise: readonly Plant[] = [
  wrongKernel('erf', 'a coefficient rounded to four places', { of: 'erf', shaders: /fn erf_near/ }, [
    /1\.1283791/,
    '1.1283',
  ]),
  wrongKernel(
    'geluDerivative',
    'a coefficient rounded to four places',
    { of: 'geluDerivative', shaders: /normal_cdf/ },
    [/0\.3989422804/, '0.3989'],
  ),
  wrongKernel('gelu', '1/√2 rounded to three places', { of: 'gelu', shaders: /fn normal_cdf/ }, [
    /0\.70710678/,
    '0.707',
  ]),
  wrongScalar(
    'gelu',
    'the tanh approximation',
    ([x]) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  ),
  wrongKernel('add', 'a view inside of a buffer read from its start', { of: 'add', shaders: /^\/\/ elementwise/m }, [
    /u\.o\d+ \+ /g,
    '',
  ]),
  wrongKernel('mul', 'coordinates of strided operands off by one axis', { of: 'mul', shaders: /^\/\/ elementwise/m }, [
    /c1 \* u\.t(\d)_1/g,
    'c0 * u.t$1_1',
  ]),
  wrongKernel(
    'add, several elements per thread',
    'the last of them is left out',
    { of: 'add', shaders: /elements per thread/ },
    [/let end = min\((first \+ \d+u), /, 'let end = min($1 - 64u, '],
  ),
  wrongKernel('dropout', 'the mask is turned round', { of: 'dropout', shaders: /fn randomWord/ }, [
    /(random0|randomWord\([^;]*\)) >= /g,
    '$1 < ',
  ]),
  wrongKernel('dropout, by vec4s', 'all draw the number of the first', { of: 'dropout', shaders: /, by vec4s/ }, [
    /random0\.\w/g,
    'random0.x',
  ]),
  wrongElement('randomBits', 'the same numbers at each step', right => ({
    wgsl: ([, ...args], context) => right.wgsl(['0u', ...args], context),
  })),
  wrongKernel(
    'normalOfBits',
    'a coefficient rounded to two places',
    { of: 'normalOfBits', shaders: /fn normal_quantile/ },
    [/1\.4179784/, '1.42'],
  ),
  wrongElement('dropout', 'what is kept is not scaled up', right => ({
    uniforms: attributes =>
      (right.uniforms?.(attributes) ?? []).map((one, k) => (k === 1 ? { ...one, value: 1 } : one)),
  })),
  wrongElement('cast', 'floats to integers are rounded, not cut', right => ({
    wgsl: (args, context) => right.wgsl(context.output === 'i32' ? args.map(a => `round(${a})`) : args, context),
  })),
]

const functions: readonly Plant[] = [
  wrongKernel('sin', 'the bits of 2/π begin one late', { of: 'sin', shaders: /fn quarter_turns/ }, [/- 88u/, '- 87u']),
  wrongKernel('atan', 'past 1 the angle of the reciprocal', { of: 'atan', shaders: /fn atan_f32/ }, [
    /1\.5707964 - ratio, a/,
    'ratio, a',
  ]),
  wrongKernel('exp2', 'a coefficient rounded to four places', { of: 'exp2', shaders: /fn scaled_power/ }, [
    /0\.6931472/,
    '0.6931',
  ]),
  wrongKernel('mod', 'the sign of the dividend, as in C', { of: 'mod', shaders: /fn mod_f32/ }, [
    /rest = divisor - rest;/,
    '',
  ]),
  wrongElement(
    'rightShift',
    'counts past 31 wrap',
    () => ({ wgsl: ([a, b]) => `(${a} >> (u32(${b}) & 31u))` }),
    'rightShift of integers',
  ),
]

const shapes: readonly Plant[] = [
  wrongView('slice', 'the offset is forgotten', (right, from) => right && { ...right, offset: from.offset }),
  wrongView('permute', 'axes exchanged, strides not', (right, from) => right && { ...right, strides: from.strides }),
  wrongView(
    'broadcast',
    'repeats by the stride of the axis',
    (right, from) =>
      right && {
        ...right,
        strides: right.strides.map((stride, i) =>
          stride === 0 ? (from.strides[i - right.strides.length + from.strides.length] ?? 0) : stride,
        ),
      },
  ),
  wrongView('flip', 'nothing is reversed', (right, from) => right && from),
  wrongView(
    'diagonal',
    'the stride of one axis alone',
    (right, from) => right && { ...right, strides: right.strides.with(-1, from.strides[from.strides.length - 1]) },
  ),
  wrongElement('coordinates', 'the axis after it', right => ({
    uniforms: attributes =>
      (right.uniforms?.(attributes) ?? []).map((one, k) => (k === 0 ? { ...one, value: 1 } : one)),
  })),
  wrongElement('triangle', 'the diagonal itself is left out', right => ({
    wgsl: (args, context) => right.wgsl(args, context).replace('<= ', '< ').replace('>= ', '> '),
  })),
  wrongKernel('sum', 'the last element is left out', { of: 'sum', shaders: /^\/\/ reduce sum/m }, [
    /k < u\.reduced/,
    'k + 1u < u.reduced',
  ]),
  wrongKernel('sum', 'the second pass leaves out a share', { of: 'sum', shaders: /^\/\/ reduce sum.* shares:/m }, [
    /var k = share;/,
    'var k = share + u.shares;',
  ]),
  wrongKernel('argmax', 'of equal elements the last', { of: 'argmax', shaders: /^\/\/ reduce argmax/m }, [
    /at < place/,
    'at > place',
  ]),
  wrongKernel('prod', 'the second pass adds', { of: 'prod', shaders: /^\/\/ reduce prod.* shares:/m }, [
    /total \*= value/,
    'total += value',
  ]),
  wrongKernel('max', 'the fold begins with 0', { of: 'max', shaders: /^\/\/ reduce max/m }, [/k == share/, 'false']),
  wrongKernelOp('concat', 'every part is written at the start', right => ({
    lower: context => ({
      launches: right
        .lower(context)
        .launches.map(launch => ({ ...launch, wgsl: launch.wgsl.replace(/out\[u\.o\d+ \+ /, 'out[') })),
    }),
  })),
]

const matmuls: readonly Plant[] = [
  wrongKernel(
    'matmul, register tiles',
    'the column past the edge stands for the last',
    { of: 'matmul', shaders: /^\/\/ matmul (sg|\d)/m },
    [/(\d)u, u\.N - 1u\)/g, '$1u, u.N - 2u)'],
  ),
  wrongKernel(
    'matmul, register tiles',
    'the tail of K is left out',
    { of: 'matmul', shaders: /^\/\/ matmul (sg|\d)/m },
    [/for \(; k < (\S+); k\+\+\)/g, 'for (; k + 4u <= $1; k++)'],
  ),
  wrongKernel('matmul, workgroup memory', 'no barriers', { of: 'matmul', shaders: /^\/\/ matmul wg/m }, [
    /workgroupBarrier\(\);/g,
    '',
  ]),
  wrongKernel(
    'matmul, workgroup memory',
    'what is past the end of K is not zero',
    { of: 'matmul', shaders: /^\/\/ matmul wg/m },
    [/if \(at( \+ \du)? < \S+\)/g, 'if (true)'],
  ),
  wrongKernel('matmul, dot products', 'the last thread is not added', { of: 'matmul', shaders: /^\/\/ matmul dot/m }, [
    /t < (\d+u)/,
    't + 1u < $1',
  ]),
  wrongKernel('matmul, K in slices', 'each slice four short', { of: 'matmul', shaders: /^\/\/ matmul .* split/m }, [
    /let kEnd = min\((.*)\);/,
    'let kEnd = min($1) - 4u;',
  ]),
  wrongKernel(
    'matmul, K in slices',
    'the last slice is not added',
    { of: 'matmul', shaders: /^\/\/ matmul sum of slices/m },
    [/slice < u\.slices/, 'slice + 1u < u.slices'],
  ),
  wrongKernel(
    'matmul',
    'every matrix of a batch is the first',
    { of: 'matmul', shaders: /^\/\/ matmul .* batch \d/m },
    [/aStart0 \+= .*;/g, ''],
  ),
  wrongKernel('matmul', 'sums in half precision', { of: 'matmul', shaders: /^\/\/ matmul/m }, [
    /(sum\d+_\d+) \+= (.+);/g,
    '$1 = quantizeToF16($1 + $2);',
  ]),
  wrongKernel('matmul, f16 operands', 'sums in f16', { of: 'matmul', shaders: /^enable f16;/m, hidden: needsHalf }, [
    /(sum\d+_\d+) \+= (.+);/g,
    '$1 = quantizeToF16($1 + $2);',
  ]),
  wrongKernel(
    'matmul with an expression',
    'it reads the elements of a neighbour',
    { of: 'matmul of a layer', shaders: /fn epilogue/ },
    [/epilogue\((value\.\w), i \+ \du/g, 'epilogue($1, i'],
    [/(wide\d)\.\w/g, '$1.x'],
    [/(c\d) \+ \du/g, '$1'],
    [/epilogue\(value, i\)/g, 'epilogue(value, i + 1u)'],
  ),
  wrongKernel(
    'matmul with an expression',
    'four neighbours read the four after theirs',
    { of: 'matmul of a layer', shaders: /fn epilogue4/ },
    [/(in\d\[.*) \/ 4u\]/g, '$1 / 4u + 1u]'],
  ),
  wrongKernel(
    'matmul with GELU',
    'the product is stored in place of its slope',
    { of: 'matmul of a layer', shaders: /fn storedInstead/ },
    [/= (.*)\bstoredInstead4?\(value\)/g, '= $1value'],
  ),
  wrongKernel(
    'matmul with dropout',
    'four neighbours draw of the block after theirs',
    { of: 'matmul of a layer', shaders: /epilogue4/ },
    [/randomBlock\(i \/ 4u/, 'randomBlock(i / 4u + 1u'],
  ),
  wrongKernel(
    'loraLinear',
    'the scale of the low-rank product is missing',
    { of: 'loraLinear', shaders: /^\/\/ matmul/m },
    [/ \* u\.scale1/g, ''],
  ),
  wrongKernel('loraLinear', 'the bias is missing', { of: 'loraLinear', shaders: /^\/\/ matmul .* \+ bias/m }, [
    / \+ (vec4<f32>|f32)?\(?bias\[[^\]]*\]\)?/g,
    '',
  ]),
  wrongKernel(
    'loraLinear, K in slices',
    'each has the low-rank product',
    { of: 'loraLinear', shaders: /^\/\/ matmul .* split/m },
    [/select\(0u, u\.K1, kBegin == 0u\)/, 'u.K1'],
  ),
  wrongKernel(
    'loraLinear, K in slices',
    'each has the bias',
    { of: 'loraLinear', shaders: /^\/\/ matmul .* \+ bias.* split/m },
    [/(bias\[[^\]]*\]\)?), kBegin == 0u/g, '$1, true'],
  ),
]

const rows: readonly Plant[] = [
  wrongKernel('softmax', 'the maximum is not subtracted', { of: 'softmax', shaders: /^\/\/ softmax /m }, [
    / - largest\)/g,
    ')',
  ]),
  wrongKernel('softmaxGradient', 'no sum over the row', { of: 'softmaxGradient', shaders: /^\/\/ softmaxGradient/m }, [
    / - total\)/,
    ')',
  ]),
  wrongKernel(
    'rows, one workgroup per row',
    'no barriers in the tree',
    { of: 'softmaxGradient', shaders: /by a tree/ },
    [/workgroupBarrier\(\);/g, ''],
  ),
  wrongKernel(
    'rows, one workgroup per row',
    'no barriers between subgroups',
    {
      of: 'layerNormGradient',
      shaders: /per row, .*, subgroups of/,
      hidden: ({ info, traits }) => (traits.subgroupSize > 1 ? undefined : `${info.name} has no subgroups`),
    },
    [/workgroupBarrier\(\);/g, ''],
  ),
  wrongKernel(
    'layerNorm',
    'the variance by squares less the square of the mean',
    { of: 'layerNorm', shaders: /^\/\/ layerNorm /m },
    [/let d = .*;/, 'let d = Floats(x[begin + i]);'],
    [/(rowSum\(sumOf\(squares\), lane\) \/ width)/, '$1 - (shift + center) * (shift + center)'],
  ),
  wrongKernel('layerNorm', 'epsilon is missing', { of: 'layerNorm', shaders: /^\/\/ layerNorm /m }, [
    / \+ u\.epsilon/,
    '',
  ]),
  wrongKernel(
    'layerNormGradient',
    'no mean of dy∘gamma',
    { of: 'layerNormGradient', shaders: /^\/\/ layerNormGradient/m },
    [/g - meanG - normal/, 'g - normal'],
  ),
  wrongKernel(
    'layerNormParameterGradient',
    'the last row of each share is left out',
    { of: 'layerNormParameterGradient', shaders: /^\/\/ layerNormParameterGradient .*shares of/m },
    [/let last = min\((.*)\);/, 'let last = min($1) - 1u;'],
  ),
  wrongKernel(
    'layerNormParameterGradient',
    'the last share is left out',
    { of: 'layerNormParameterGradient', shaders: /^\/\/ layerNormParameterGradient: sums of the shares/m },
    [/(share < |, )u\.shares/g, '$1(u.shares - 1u)'],
  ),
  wrongKernel(
    'layerNorm',
    'sums in f16',
    { of: 'layerNorm of statistics', shaders: /^enable f16;[^]*squares \+= d \* d/m, hidden: needsHalf },
    [/(sums|squares|rest) \+= (.*);/g, '$1 = quantizeToF16($1 + ($2));'],
  ),
  wrongKernel(
    'crossEntropyGradient',
    'ignored rows are counted',
    { of: 'crossEntropy', shaders: /^\/\/ crossEntropyGradient/m },
    [/, ignored\)/, ', false)'],
    [/let dloss = .*;/, 'let dloss = dlosses[row];'],
  ),
  wrongKernel('crossEntropy', 'ignored rows have a loss', { of: 'crossEntropy', shaders: /^\/\/ crossEntropy /m }, [
    /loss = 0\.0;/,
    'loss = logTotal;',
  ]),
  wrongKernel('divergence', 'the sides are swapped', { of: 'divergence', shaders: /^\/\/ divergence /m }, [
    /weights \* \(theirs - own\)/,
    'weights * (own - theirs)',
  ]),
  wrongKernel(
    'divergenceGradient',
    "the logits' normalizer on both sides",
    { of: 'divergence', shaders: /^\/\/ divergenceGradient/m },
    [/ - logTeacherTotal\)/, ' - logTotal)'],
  ),
]

const scans: readonly Plant[] = [
  wrongKernel('cumsum', 'tiles begin without those before', { of: 'cumsum', shaders: /^\/\/ .*cumsum .* results/m }, [
    /recent = join\(recent, total\);/,
    '',
  ]),
  wrongKernel(
    'cumsum',
    'chunks begin without those before',
    { of: 'cumsum', shaders: /^\/\/ .*cumsum .* of chunks/m },
    [/let at = row \* u\.chunks \+ k;/, 'if (k > 0u) { return UNIT; }\n  let at = row * u.chunks + k;'],
  ),
  wrongKernel('linearScan', 'states are joined in the wrong order', { of: 'linearScan', shaders: /linearScan/ }, [
    /times\(first\.y, then\.x\) \+ then\.y/,
    'times(then.y, first.x) + first.y',
  ]),
]

const gathers: readonly Plant[] = [
  wrongKernel(
    'gather',
    'ids outside of the table mean its last row',
    { of: 'gather', shaders: /^\/\/ gather /m },
    [/if \(id < u\.rows\)/, 'if (true)'],
    [/table\[id /, 'table[min(id, u.rows - 1u) '],
  ),
  wrongKernel(
    'gatherGradient',
    'of equal ids the last one counts',
    { of: 'gatherGradient', shaders: /^\/\/ gatherGradient .*rows of the table/m },
    [/sum \+= ([^;]*dy\[)/, 'sum = $1'],
  ),
  wrongReference(
    'gatherGradient',
    'of equal ids the last one counts',
    (
      [ids, dy],
      {
        outputs: [
          {
            shape: [count, width],
          },
        ],
      },
    ) => {
      const result = new Float64Array(count * width)
      ids.forEach((id, at) => {
        if (id >= 0 && id < count) result.set(dy.subarray(at * width, (at + 1) * width), id * width)
      })
      return [result]
    },
  ),
  wrongKernel(
    'gatherGradient',
    'no barrier before places are read',
    { of: 'gatherGradient', shaders: /^\/\/ gatherGradient: positions sorted/m },
    [/storageBarrier\(\);(?=\s*for \(var first)/, ''],
  ),
]

const scatters: readonly Plant[] = [
  wrongKernel(
    'gatherAlong',
    "every line's elements come from the first",
    { of: 'gatherAlong', shaders: /^\/\/ gatherAlong/m },
    [/i \/ u\.slab \* u\.length \+ id/, 'id'],
  ),
  wrongKernel(
    'scatterAdd, by lines',
    'of equal indices the last one counts',
    { of: 'scatterAdd', shaders: /^\/\/ scatterAdd .*per line/m },
    [/\] \+= /, '] = '],
  ),
  wrongKernel(
    'scatterAdd, by search',
    'the last element is left out',
    { of: 'scatterAdd', shaders: /^\/\/ scatterAdd .*per sum/m },
    [/< u\.count;/, '+ 1u < u.count;'],
  ),
  wrongKernel(
    'scatterAdd, sorted',
    'an index outside of the axis names the last place',
    { of: 'scatterAdd', shaders: /^\/\/ scatterAdd: places/m },
    [/select\(-1, i32\((.*)\), id < u\.length\)/, 'i32($1)'],
    [/let id = (.*);/, 'let id = min($1, u.length - 1u);'],
  ),
  wrongKernel(
    'scatterMax',
    'negative numbers are compared by their bits',
    { of: 'scatterMax', shaders: /^\/\/ scatterMax f/m },
    [/, ~bits, /, ', bits, '],
    [/select\(~key, /, 'select(key, '],
  ),
]

const sorts: readonly Plant[] = [
  wrongKernel('sort, by blocks', 'the last merge is left out', { of: 'sort', shaders: /^\/\/ sort .*in blocks/m }, [
    /half < u\.segment;/,
    '2u * half < u.segment;',
  ]),
  wrongKernel(
    'sort, runs merged',
    'of equal elements the last comes first',
    { of: 'sort', shaders: /^\/\/ sort .*runs merged/m },
    [/ids\[a\] < ids\[b\]/, 'ids[a] > ids[b]'],
  ),
  wrongKernel('sort, runs', 'the last exchange is missing', { of: 'sort', shaders: /^\/\/ sort .*: runs of/m }, [
    /if \(isBefore\(key14, id14, key13, id13\)\) /,
    'if (false) ',
  ]),
  wrongKernel('sort, ranks', 'equal elements have one rank', { of: 'sort', shaders: /^\/\/ sort .*: rank of/m }, [
    / \|\| \(key == otherKey && id < otherId\)/,
    '',
  ]),
  wrongKernel(
    'sort, selected',
    'what a larger element displaces is lost',
    { of: 'sort', shaders: /^\/\/ sort .*of a share/m },
    [/newKey = nextKey;/g, ''],
  ),
]

const images: readonly Plant[] = [
  wrongKernel('conv', 'a patch has the columns of its first line', { of: 'conv', shaders: /^\/\/ conv: offsets/m }, [
    /tap % u\.columns \* u\.column/,
    '0u',
  ]),
  wrongKernel('conv', 'the padding repeats what is there', { of: 'conv', shaders: /^\/\/ conv: input laid out/m }, [
    /if \(isInside\)/,
    'if (true)',
  ]),
  wrongKernel('conv', 'images follow each other channel by channel', { of: 'conv', shaders: /fn imageAt/ }, [
    /return column \/ .*;/,
    'return column;',
  ]),
  wrongKernel('conv', 'the stride is that of the lines alone', { of: 'conv', shaders: /fn patchAt/ }, [
    / \+ pixel % u\.patchWidth \* u\.patchPixel/,
    ' + pixel % u.patchWidth',
  ]),
  wrongKernel(
    'conv, directly',
    'all channels have the weights of the first',
    { of: 'conv', shaders: /output by itself/ },
    [/wAt \+= u\.wStride1;/, ''],
  ),
  wrongKernel('maxPool', 'negative numbers are never the largest', { of: 'maxPool', shaders: /^\/\/ maxPool f/m }, [
    /var best = 0u;/,
    'var best = 0x80000000u;',
  ]),
  wrongKernel(
    'maxPoolGradient',
    'the last line of windows is left out',
    { of: 'maxPoolGradient', shaders: /^\/\/ maxPoolGradient/m },
    [/row < u\.rows/, 'row + 1u < u.rows'],
  ),
  wrongKernel(
    'averagePool',
    'padding before the image counts',
    { of: 'averagePool', shaders: /^\/\/ averagePool f.*without/m },
    [/ - max\(begin, before\)/, ' - begin'],
  ),
  wrongKernel(
    'averagePoolGradient',
    'the divisor of the transposed place',
    { of: 'averagePoolGradient', shaders: /^\/\/ averagePoolGradient f.*without/m },
    [/inside\(row,/, 'inside(column,'],
  ),
  wrongKernel('rmsNorm', 'epsilon outside of the root', { of: 'rmsNorm', shaders: /^\/\/ rmsNorm /m }, [
    /sqrt\((.*) \+ u\.epsilon\)/,
    '(sqrt($1) + u.epsilon)',
  ]),
  wrongKernel('rmsNormGradient', 'the mean is a sum', { of: 'rmsNormGradient', shaders: /^\/\/ rmsNormGradient/m }, [
    /, lane\) \/ width;/,
    ', lane);',
  ]),
]

const attentions: readonly Plant[] = [
  wrongKernel(
    'attention',
    'padding is attended to',
    { of: 'attention', shaders: /^\/\/ attention (forward|gradient)/m },
    [/(return key < extent) && .*;/, '$1;'],
    [/return \((keys < vec4<u32>\(extent\))\) & .*;/, 'return $1;'],
  ),
  wrongKernel(
    'attention',
    'sums are not rescaled when the maximum grows',
    { of: 'attention', shaders: /^\/\/ attention forward/m },
    [/sum\S* \*= rescale\S*;/g, ''],
  ),
  wrongKernel(
    'attention',
    'dropout draws a part of the wrong block',
    { of: 'attention', shaders: /^\/\/ attention/m },
    [/\(index \+ 4u\) >> 2u/, 'index >> 2u'],
  ),
  wrongKernel(
    'attention, causal',
    'the diagonal is closed',
    { of: 'attentionGradient of decoders', shaders: /fn causalEnd/ },
    [/keys \+ u\.queries <= queries \+ u\.keys/, 'keys + u.queries < queries + u.keys'],
  ),
  wrongKernel(
    'attention, causal',
    'the first query meets the first key, not the last the last',
    { of: 'attentionGradient of decoders', shaders: /^\/\/ attention forward[^]*fn causalEnd/m },
    [/keys \+ u\.queries <= queries \+ u\.keys/, 'keys <= queries'],
  ),
  wrongKernel(
    'attention, causal',
    'the tile on the diagonal is skipped',
    { of: 'attentionGradient of decoders', shaders: /^\/\/ attention forward[^]*fn causalEnd/m },
    [/causalEnd\(\(tileNumber \+ 1u\)/, 'causalEnd(tileNumber'],
  ),
  wrongKernel(
    'attentionGradient, causal',
    'queries that share a tile with others before a key are left out',
    { of: 'attentionGradient of decoders', shaders: /^\/\/ attention gradient[^]*let begin = / },
    [/firstQuery\(rowStart\) \/ (\d+)u/, '(firstQuery(rowStart) + $1u - 1u) / $1u'],
  ),
  wrongKernel(
    'attention, shared keys',
    'heads take turns with the keys, not side by side',
    { of: 'attentionGradient of decoders', shaders: /^\/\/ attention forward[^]*u\.group/m },
    [/head \/ u\.group \*/g, 'head % (u.heads / u.group) *'],
  ),
  wrongKernel(
    'attentionGradient, shared keys',
    'the gradient of keys is that of one head alone',
    { of: 'attentionGradient of decoders', shaders: /^\/\/ attention gradient[^]*member < u\.group/m },
    [/member < u\.group/, 'member < 1u'],
  ),
  wrongKernel(
    'attention, mask of scores',
    'every query has the mask of the first',
    { of: 'attentionGradient of decoders', shaders: /^\/\/ attention .*[^]*u\.maskQuery/m },
    [/ \* u\.maskQuery/g, ' * 0u'],
  ),
  wrongKernel(
    'attention, bias',
    'it is scaled like the products',
    { of: 'attentionGradient of decoders', shaders: /^\/\/ attention forward[^]*fn biasAt/m },
    [/u\.scale \* (\w+) \+ (added\w*)/g, 'u.scale * ($1 + $2)'],
    [/score \+= added/, 'score += u.scale * added'],
  ),
  wrongKernel(
    'attentionGradient of a bias',
    'of the heads and items that share it, the last one counts',
    { of: 'attentionGradient of decoders', shaders: /^\/\/ attention gradient of the bias, /m },
    [/(sum\d*(_\d+)?) \+= /g, '$1 = '],
  ),
  wrongKernel(
    'attentionGradient of a bias',
    'the last share is not added',
    { of: 'attentionGradient of decoders', shaders: /^\/\/ attention gradient of the bias: sum/m },
    [/share < u\.count/, 'share + 1u < u.count'],
  ),
  wrongKernel('attentionGradient', 'no sum over the row', { of: 'attention', shaders: /^\/\/ attention statistics/m }, [
    /vec2<f32>\(lse\[row\], sum\)/,
    'vec2<f32>(lse[row], 0.0)',
  ]),
  wrongKernel(
    'attentionGradient',
    'no dropout in the gradient of the values',
    { of: 'attention', shaders: /^\/\/ attention gradient of the key/m },
    [/(let probability\d* = )factor\d* \* /g, '$1'],
    [/(probabilities[^;]* = )factor\d+_\d+ \* /g, '$1'],
  ),
  wrongKernel('attention, tiles', 'no barriers', { of: 'attention', shaders: /^\/\/ attention .*tiled/m }, [
    /workgroupBarrier\(\);/g,
    '',
  ]),
  wrongKernel(
    'attention, tiles',
    'each is given the probabilities of the first',
    { of: 'attention', shaders: /^\/\/ attention .*tiled .* sg/m, hidden: needsEight },
    [/first \+ sourceLane/g, 'first'],
  ),
  wrongKernel(
    'attentionGradient, stored',
    'probabilities past the last query are not zero',
    { of: 'attention', shaders: /^\/\/ attention gradient's probabilities stored/m },
    [/ & vec4<bool>\(query < u\.queries\)/g, ''],
  ),
  wrongKernel(
    'attentionGradient, stored',
    'blocks of dScores are not transposed',
    { of: 'attention', shaders: /^\/\/ attention gradient's sums of the query side, stored/m },
    [/stagedLeft(\d)_(\d)\[(\d)\]/g, 'stagedLeft$1_$3[$2]'],
  ),
]

const optimizers: readonly Plant[] = [
  wrongKernel('adamw', 'the first moment is not corrected', { of: 'adamw', shaders: /^\/\/ adamw/m }, [
    / \/ correction1/,
    '',
  ]),
  wrongKernel('adamw', 'the second moment stays as it was', { of: 'adamw', shaders: /^\/\/ adamw/m }, [
    /v\[i\] = .*;/,
    '',
  ]),
  wrongKernel('adamw', 'a step with an infinite scale is taken', { of: 'adamw', shaders: /^\/\/ adamw/m }, [
    /gradientScale\[0\] >= EXPONENT/,
    'false',
  ]),
  wrongReference(
    'adamw',
    'weight decay in the gradient, as in Adam',
    ([parameters, m, v, gradient, hyper, [scale]]) => {
      if (!(scale >= 0 && scale < Infinity)) return [parameters.slice(), m.slice(), v.slice()]
      const [rate, rest1, beta2, rest2, epsilon, decay, correction1, correction2] = hyper
      const decayed = gradient.map((g, i) => g * scale + decay * parameters[i])
      const [m1, v1] = [
        m.map((old, i) => old + rest1 * (decayed[i] - old)),
        v.map((old, i) => beta2 * old + rest2 * decayed[i] ** 2),
      ]
      return [
        parameters.map((p, i) => p - (rate * m1[i]) / correction1 / (Math.sqrt(v1[i] / correction2) + epsilon)),
        m1,
        v1,
      ]
    },
  ),
]

export const wrongKernels: readonly Plant[] = [
  ...elementwise,
  ...functions,
  ...shapes,
  ...matmuls,
  ...rows,
  ...scans,
  ...gathers,
  ...scatters,
  ...sorts,
  ...images,
  ...attentions,
  ...optimizers,
]
