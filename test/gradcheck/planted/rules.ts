// Wrong gradient rules, each a mistake that people make.
import { ones } from '../../../engine/ops/source.ts'
import { matmul, rowsOf } from '../../../engine/ops/matmul.ts'
import { scalar } from '../../../engine/index.ts'
import { type Tensor, apply, applyAll } from '../../../engine/tensor.ts'
import { type Plant, as, firstOf, upstreamOf, wrongRule } from './plant.ts'

/** What is wrong with the gradient of the first input; others stay right. */
const first =
  (change: (right: Tensor) => Tensor) =>
  ([dx, ...others]: readonly (Tensor | undefined)[]): (Tensor | undefined)[] => [dx && change(dx), ...others]

const elementwise: readonly Plant[] = [
  wrongRule('mul', 'the other factor is missing', ([, db], context) => [
    as(context.inputs[0], upstreamOf(context)),
    db,
  ]),
  wrongRule(
    'square',
    'the factor 2 is missing',
    first(dx => dx.mul(0.5)),
  ),
  wrongRule('sub', 'the sign of the second operand', ([da, db]) => [da, db?.neg()]),
  wrongRule('add', 'no sum over broadcast axes', ([, db], context) => [
    firstOf(upstreamOf(context), context.inputs[0]),
    db,
  ]),
  wrongRule('exp', 'the upstream gradient is dropped', (_right, { inputs: [x], outputs: [y] }) => [as(x, y)]),
  wrongRule('tanh', '1 − y where 1 − y² belongs', (_right, context) => [
    as(context.inputs[0], upstreamOf(context).mul(scalar(1).sub(context.outputs[0]))),
  ]),
  wrongRule('sigmoid', 'y where y·(1 − y) belongs', (_right, context) => [
    as(context.inputs[0], upstreamOf(context).mul(context.outputs[0])),
  ]),
  wrongRule(
    'rsqrt',
    'the sign',
    first(dx => dx.neg()),
  ),
  wrongRule(
    'erf',
    '2/√π rounded to 1.128',
    first(dx => dx.mul((1.128 * Math.sqrt(Math.PI)) / 2)),
  ),
  wrongRule('gelu', 'the slope of the tanh approximation', (_right, { inputs: [x], upstream }) => {
    const t = x
      .add(x.mul(x).mul(x).mul(0.044715))
      .mul(Math.sqrt(2 / Math.PI))
      .tanh()
    const inner = x
      .square()
      .mul(3 * 0.044715)
      .add(1)
      .mul(Math.sqrt(2 / Math.PI))
    return [
      upstream[0] &&
        as(
          x,
          upstream[0].mul(
            t
              .add(1)
              .add(x.mul(scalar(1).sub(t.square())).mul(inner))
              .mul(0.5),
          ),
        ),
    ]
  }),
  wrongRule('pow', 'the exponent is not lowered by one', ([, db], context) => {
    const [a, b] = context.inputs
    return [as(a, upstreamOf(context).mul(b).mul(a.pow(b))), db]
  }),
  wrongRule('asin', 'no square root', (_right, context) => [
    as(context.inputs[0], upstreamOf(context).div(scalar(1).sub(context.inputs[0].square()))),
  ]),
  wrongRule('atan2', 'the sign of the second operand', ([da, db]) => [da, db?.neg()]),
  wrongRule('mod', 'the divisor is taken for a constant', ([da]) => [da, undefined]),
  wrongRule('elu', 'alpha is missing', (_right, context) => {
    const [a, b] = context.inputs
    const dy = upstreamOf(context)
    return [as(a, dy.mul(a.minimum(0).exp())), as(b, dy.mul(a.minimum(0).expm1()))]
  }),
  wrongRule('maximum', 'the gradient goes to both operands', (_right, context) =>
    context.inputs.map(x => as(x, upstreamOf(context))),
  ),
  wrongRule('where', 'the branches are exchanged', (_right, context) => {
    const [condition, yes, no] = context.inputs
    const dy = upstreamOf(context)
    return [undefined, as(yes, condition.where(0, dy)), as(no, condition.where(dy, 0))]
  }),
  wrongRule(
    'dropout',
    'another mask in the backward pass',
    (_right, { inputs: [, step], upstream: [dy], attributes }) => [
      dy && apply('dropout', [dy, step], { ...attributes, stream: attributes.stream + 1 }),
      undefined,
    ],
  ),
]

const shapes: readonly Plant[] = [
  wrongRule('sum', 'upstream ignored: right only where the sum is the loss', (_right, { inputs: [x] }) => [
    ones(x.shape, x.dtype),
  ]),
  wrongRule(
    'prod',
    'the product itself is among the others',
    (_right, { inputs: [x], outputs: [y], upstream: [dy] }) => [dy?.mul(y).broadcastTo(x.shape)],
  ),
  wrongRule('cumsum', 'summed forward again instead of back', (_right, { upstream: [dy], attributes }) => [
    dy && apply('cumsum', [dy], attributes),
  ]),
  wrongRule('linearScan', 'the state after in place of the one before', ([, db], { outputs: [y] }) => [db?.mul(y), db]),
  wrongRule('max', 'the gradient goes to every element', (_right, context) => [
    upstreamOf(context).broadcastTo(context.inputs[0].shape),
  ]),
  wrongRule('broadcast', 'no sum over the repetitions', (_right, context) => [
    firstOf(upstreamOf(context), context.inputs[0]),
  ]),
  wrongRule(
    'permute',
    'permuted forward again instead of back',
    (_right, { inputs: [x], attributes: { order }, upstream: [dy] }) => [
      dy?.permute(Array.isArray(order) ? order : []).reshape(x.shape),
    ],
  ),
  wrongRule('slice', 'the gradient lands at the start', (_right, { inputs: [x], upstream: [dy] }) => [
    dy?.pad(
      dy.shape.map(() => 0),
      dy.shape.map((n, i) => x.shape[i] - n),
    ),
  ]),
  wrongRule('flip', 'not flipped back', (_right, context) => [upstreamOf(context)]),
  wrongRule(
    'diagonal',
    'the gradient repeats along the axis',
    (_right, { inputs: [x], attributes: { a, b }, upstream: [dy] }) => {
      const others = x.shape.map((_, i) => i).filter(i => i !== a && i !== b)
      const order = x.shape.map((_, i) => (i === a ? x.rank - 2 : i === b ? x.rank - 1 : others.indexOf(i)))
      return [dy?.expandDims(-1).permute(order).broadcastTo(x.shape)]
    },
  ),
  wrongRule('triangle', 'the gradient of the other triangle, too', (_right, context) => [upstreamOf(context)]),
  wrongRule('concat', 'every part takes the gradient of the first', ([, ...rest], { inputs, upstream: [dy] }) => [
    dy?.slice([], inputs[0].shape),
    ...rest.map((_, i) => dy?.slice([], inputs[1 + i].shape)),
  ]),
  wrongRule('pad', 'the elements before are forgotten', (_right, { inputs: [x], upstream: [dy] }) => [
    dy?.slice([], x.shape),
  ]),
]

const kernels: readonly Plant[] = [
  wrongRule('matmul', 'the second gradient comes transposed', ([da, db]) => [da, db?.transpose().reshape(db.shape)]),
  wrongRule('matmul', 'the scale is missing', ([da, db], { attributes: { scale } }) => [da?.div(scale ?? 1), db]),
  wrongRule('matmul', 'no sum over broadcast matrices', ([, db], context) => {
    const [a, b] = context.inputs
    return [firstOf(matmul(upstreamOf(context), b.transpose(), { scale: context.attributes.scale }), a), db]
  }),
  wrongRule(
    'loraLinear',
    'the scale is missing from the gradient of B',
    ([dx, dw, da, db, ...bias], { attributes: { scale } }) => [dx, dw, da, db?.div(scale), ...bias],
  ),
  wrongRule('loraLinear', 'no gradient of the bias', gradients => gradients.slice(0, 4)),
  wrongRule('loraLinear', 'the adapter is left out of the gradient of x', ([, ...others], context) => {
    const [x, weight] = context.inputs
    return [as(x, matmul(rowsOf(upstreamOf(context)), weight).reshape(x.shape)), ...others]
  }),
  wrongRule('softmax', 'no sum over the row', (_right, context) => [
    as(context.inputs[0], upstreamOf(context).mul(context.outputs[0])),
  ]),
  wrongRule('logSoftmax', 'y where exp(y) belongs', (_right, context) => {
    const dy = upstreamOf(context)
    return [dy.sub(context.outputs[0].mul(dy.sum(-1, true)))]
  }),
  wrongRule('softmaxGradient', 'differentiated as if the probabilities were constants', ([, ddy]) => [undefined, ddy]),
  wrongRule('layerNorm', 'mean and variance taken for constants', ([dx, ...others], context) => {
    if (!context.upstream[0]) return [dx, ...others]
    const [x, gamma] = context.inputs
    const [, , rstd] = context.outputs
    return [
      as(
        x,
        upstreamOf(context)
          .mul(gamma)
          .mul(rstd.reshape([...x.shape.slice(0, -1), 1])),
      ),
      ...others,
    ]
  }),
  wrongRule('layerNorm', 'the gradient of gamma sums dy·x', ([dx, dgamma, dbeta], context) => {
    if (!context.upstream[0]) return [dx, dgamma, dbeta]
    const [x, gamma] = context.inputs
    return [dx, as(gamma, upstreamOf(context).mul(x)), dbeta]
  }),
  wrongRule('layerNorm', 'no gradient of beta', ([dx, dgamma]) => [dx, dgamma, undefined]),
  wrongRule(
    'crossEntropy',
    'ignored rows are counted, as the first class',
    (_right, { inputs: [logits, labels], outputs: [, kept], upstream: [dy], attributes }) => [
      dy && apply('crossEntropyGradient', [logits, labels.maximum(0), kept, dy], attributes),
      undefined,
    ],
  ),
  wrongRule('divergence', 'the temperature is missing from the gradient', ([dx, dteacher], { attributes }) => [
    dx?.mul(attributes.temperature),
    dteacher,
  ]),
  wrongRule('divergence', 'the teacher is taken for a constant', ([dx]) => [dx, undefined]),
  wrongRule(
    'attention',
    'nothing is masked in the backward pass',
    (right, { inputs, outputs, upstream: [dO], attributes }) => {
      if (!dO || !attributes.hasMask) return [...right]
      const [q, k, v, mask, ...step] = inputs
      return applyAll('attentionGradient', [q, k, v, outputs[0], outputs[1], dO, mask.mul(0).add(1), ...step], {
        ...attributes,
        biasGradient: false,
      })
    },
  ),
  wrongRule(
    'attention',
    'not causal in the backward pass',
    (right, { inputs: [q, k, v, ...rest], outputs, upstream: [dO], attributes }) => {
      if (!dO || !attributes.causal) return [...right]
      const wrong = { ...attributes, causal: false, biasGradient: false }
      return applyAll('attentionGradient', [q, k, v, ...outputs, dO, ...rest], wrong)
    },
    'attentionGradient of decoders',
  ),
  wrongRule(
    'attention',
    'no sum over what the bias is broadcast to',
    (right, { inputs: [q, k, v, ...rest], outputs, upstream: [dO], attributes }) => {
      const { hasMask, hasBias } = attributes
      if (!dO || !hasBias) return [...right]
      const bias = rest[hasMask ? 1 : 0]
      const whole = bias.broadcastTo([q.shape[0], q.shape[2], q.shape[1], k.shape[1]])
      const others = rest.map(input => (input === bias ? whole : input))
      const given = applyAll('attentionGradient', [q, k, v, ...outputs, dO, ...others], {
        ...attributes,
        biasGradient: true,
      })
      return [...right.slice(0, hasMask ? 4 : 3), firstOf(given[3], bias)]
    },
    'attentionGradient of decoders',
  ),
  wrongRule(
    'attentionGradient',
    'the scale is missing',
    ([dq, ...others], { attributes: { scale } }) => [dq?.div(scale), ...others],
    'attentionGradient of second derivatives',
  ),
  wrongRule(
    'attentionGradient',
    'the upstream gradient is taken for a constant',
    ([dq, dk, dv, o, lse, , ...others]) => [dq, dk, dv, o, lse, undefined, ...others],
    'attentionGradient of second derivatives',
  ),
  wrongRule(
    'attention',
    'dropout drops others in the backward pass',
    (_right, { inputs: [q, k, v, ...rest], outputs, upstream: [dO], attributes }) =>
      dO
        ? applyAll('attentionGradient', [q, k, v, outputs[0], outputs[1], dO, ...rest], {
            ...attributes,
            seed: attributes.seed + 1,
            biasGradient: false,
          })
        : [],
  ),
  wrongRule('gather', 'the table is taken for a constant', () => []),
  wrongRule('conv', 'the weights are not turned', ([dx, dw]) => [dx?.flip([2, 3]), dw]),
  wrongRule(
    'conv',
    'stride and dilation are not exchanged in the gradient of the weights',
    ([dx, dw], { inputs: [x, w], upstream: [dy], attributes }) => {
      if (!dy || !dw || attributes.groups > 1) return [dx, dw]
      const own = attributes.channelsLast ? dy.permute([0, 3, 1, 2]) : dy
      const exchanged = [x, own].map(t => t.transpose(0, 1))
      const kernel = { ...attributes, size: w.shape.slice(2), channelsLast: false }
      return [dx, as(w, apply('conv', exchanged, kernel).transpose(0, 1))]
    },
  ),
  wrongRule('maxPool', 'the gradient is shared as that of a mean', (_right, { upstream: [dy], attributes }) => [
    dy && apply('averagePoolGradient', [dy], { ...attributes, countsPadding: true }),
  ]),
  wrongRule('averagePool', 'not divided', ([dx], { attributes: { kernel } }) => [dx?.mul(kernel[0] * kernel[1])]),
  wrongRule('rmsNorm', 'the scale is missing', ([dx, dgamma], { inputs: [, gamma] }) => [dx?.div(gamma), dgamma]),
  wrongRule('sort', 'the gradient stays in sorted order', (_right, { inputs: [x], upstream: [dy] }) => [
    dy && as(x, dy.pad([0, 0], [0, x.shape[1] - dy.shape[1]])),
  ]),
  wrongRule('scatterMax', 'equal to nothing, the source has no gradient', ([dx]) => [dx]),
  wrongRule(
    'scatterAdd',
    'the gradient of the first index for all',
    (_right, { inputs: [index, source], upstream: [u], attributes: { axis } }) => [
      undefined,
      u && as(source, u.narrow(axis, 0, 1).broadcastTo(index.shape)),
    ],
  ),
]

export const wrongRules: readonly Plant[] = [...elementwise, ...shapes, ...kernels]
