// Einstein summation: operands are contracted in pairs, each pair by one matrix product (or, if nothing is summed or
// the elements are integers, by a broadcast product), the cheapest pair first. Axes are moved by strides alone.
import { isFloat } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { needStrings } from '../options.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, needTensorList } from '../tensor.ts'
import { matmul } from './matmul.ts'

/** A tensor with a label for each axis, all different. */
interface Labelled {
  readonly x: Tensor
  readonly labels: readonly string[]
}

/**
 * Sums products of elements over the axes whose labels the result lacks, as `einsum` of NumPy and PyTorch:
 * `einsum('bij,bjk->bik', x, y)`. A letter labels an axis, `...` any further axes, which are broadcast; without `->`
 * the result has the labels that occur once, in alphabetical order, after those of `...`. An axis of length 1 fits any
 * length. Floats (f32, f16; sums in f32) or integers. Throws a UserError on an equation that can't be read, and on
 * shapes that don't fit it.
 */
export function einsum(equation: string, ...tensors: readonly Tensor[]): Tensor {
  needStrings('einsum', { equation })
  needTensorList('einsum', tensors)
  const { inputs, output } = parse(equation, tensors)
  const lengths = lengthsOf(equation, inputs)
  let operands = inputs.map(operand => diagonal(withoutOnes(operand, lengths)))
  while (operands.length > 1) {
    const [i, j] = cheapestPair(operands, output, lengths)
    const others = operands.filter((_, k) => k !== i && k !== j)
    const kept = new Set([...output, ...others.flatMap(({ labels }) => labels)])
    operands = [...others, contract(operands[i], operands[j], kept, output)]
  }
  const { x, labels } = summed(operands[0], new Set(output))
  return x.permute(output.map(label => labels.indexOf(label)))
}

/** Labels of the axes that `...` stands for, counted from the last. They sort before all letters. */
const ellipsisLabel = (fromLast: number): string => `.${fromLast}`

interface Parsed {
  /** Labels may occur twice. */
  readonly inputs: readonly Labelled[]
  readonly output: readonly string[]
}

function parse(equation: string, tensors: readonly Tensor[]): Parsed {
  const wrong = (what: string): UserError => new UserError(`einsum '${equation}': ${what}`)
  const [left, right, ...more] = equation.replaceAll(' ', '').split('->')
  const terms = left.split(',')
  if (more.length > 0) throw wrong('-> occurs twice')
  if (terms.length !== tensors.length) throw wrong(`it has ${terms.length} operands, but ${tensors.length} were given`)
  const bad = [...terms, right ?? ''].find(term => !/^[a-zA-Z]*(\.\.\.)?[a-zA-Z]*$/.test(term))
  if (bad !== undefined) throw wrong(`'${bad}' is not letters with at most one '...' among them`)
  let most = 0
  const inputs = tensors.map((x, i): Labelled => {
    const letters = terms[i].replace('...', '').length
    const rest = x.rank - letters
    if (terms[i].includes('...') ? rest < 0 : rest !== 0) throw wrong(`'${terms[i]}' does not fit ${showSpec(x)}`)
    most = Math.max(most, rest)
    return { x, labels: expanded(terms[i], rest) }
  })
  if (right === undefined) {
    const all = inputs.flatMap(({ labels }) => labels)
    const once = all.filter(label => label.length === 1 && all.indexOf(label) === all.lastIndexOf(label))
    return { inputs, output: [...expanded('...', most), ...once.sort()] }
  }
  const output = expanded(right, most)
  const twice = output.find((label, i) => output.indexOf(label) !== i)
  if (twice) throw wrong(`the result has '${twice}' twice`)
  const unknown = output.find(label => !inputs.some(({ labels }) => labels.includes(label)))
  if (unknown) throw wrong(`no operand has the result's '${unknown}'`)
  return { inputs, output }
}

/** The labels of a term whose `...` stands for `rest` axes. */
function expanded(term: string, rest: number): string[] {
  const [before, after] = term.split('...')
  if (after === undefined) return [...before]
  return [...before, ...Array.from({ length: rest }, (_, i) => ellipsisLabel(rest - i)), ...after]
}

function lengthsOf(equation: string, operands: readonly Labelled[]): ReadonlyMap<string, number> {
  const lengths = new Map<string, number>()
  for (const { x, labels } of operands) {
    labels.forEach((label, axis) => {
      const n = x.shape[axis]
      const known = lengths.get(label) ?? 1
      if (n !== known && n !== 1 && known !== 1)
        throw new UserError(`einsum '${equation}': '${label}' has lengths ${known} and ${n}`)
      lengths.set(label, known === 1 ? n : known)
    })
  }
  return lengths
}

/** Without the axes of length 1 of labels that are longer elsewhere: those are broadcast. */
function withoutOnes({ x, labels }: Labelled, lengths: ReadonlyMap<string, number>): Labelled {
  const isBroadcast = labels.map((label, axis) => x.shape[axis] === 1 && lengths.get(label) !== 1)
  return {
    x: x.squeeze(isBroadcast.flatMap((is, axis) => (is ? [axis] : []))),
    labels: labels.filter((_, i) => !isBroadcast[i]),
  }
}

/** Axes with the same label become their diagonal. */
function diagonal(operand: Labelled): Labelled {
  const { x, labels } = operand
  const second = labels.findIndex((label, i) => labels.indexOf(label) !== i)
  if (second < 0) return operand
  const first = labels.indexOf(labels[second])
  const rest = labels.filter((_, i) => i !== first && i !== second)
  return diagonal({ x: x.diagonal(0, first, second), labels: [...rest, labels[second]] })
}

/** Multiplications of a pair's product. */
function costOf(a: Labelled, b: Labelled, lengths: ReadonlyMap<string, number>): number {
  return [...new Set([...a.labels, ...b.labels])].reduce((product, label) => product * (lengths.get(label) ?? 1), 1)
}

/** The pair with the fewest multiplications; of those the one with the smallest result. */
function cheapestPair(
  operands: readonly Labelled[],
  output: readonly string[],
  lengths: ReadonlyMap<string, number>,
): [number, number] {
  let best = { pair: [0, 1] as [number, number], cost: Infinity, size: Infinity }
  operands.forEach((a, i) => {
    operands.slice(i + 1).forEach((b, k) => {
      const j = i + 1 + k
      const kept = new Set([...output, ...operands.flatMap(({ labels }, n) => (n === i || n === j ? [] : labels))])
      const size = [...new Set([...a.labels, ...b.labels])]
        .filter(label => kept.has(label))
        .reduce((product, label) => product * (lengths.get(label) ?? 1), 1)
      const cost = costOf(a, b, lengths)
      if (cost < best.cost || (cost === best.cost && size < best.size)) best = { pair: [i, j], cost, size }
    })
  })
  return best.pair
}

/** Summed over the axes whose labels are not kept. */
function summed({ x, labels }: Labelled, kept: ReadonlySet<string>): Labelled {
  const axes = labels.flatMap((label, axis) => (kept.has(label) ? [] : [axis]))
  return axes.length === 0 ? { x, labels } : { x: x.sum(axes), labels: labels.filter(label => kept.has(label)) }
}

/** The product of two operands, summed over the labels that are not kept. */
function contract(left: Labelled, right: Labelled, kept: ReadonlySet<string>, output: readonly string[]): Labelled {
  const has = ({ labels }: Labelled, label: string): boolean => labels.includes(label)
  const first = summed(left, new Set([...kept, ...right.labels]))
  const second = summed(right, new Set([...kept, ...left.labels]))
  // In the order of the result, if that only takes exchanging the operands.
  const placeOf = (own: Labelled, other: Labelled): number =>
    Math.min(...output.flatMap((label, i) => (has(own, label) && !has(other, label) ? [i] : [])))
  const [a, b] = placeOf(second, first) < placeOf(first, second) ? [second, first] : [first, second]
  const both = a.labels.filter(label => has(b, label))
  const batch = both.filter(label => kept.has(label))
  const inner = both.filter(label => !kept.has(label))
  const rows = a.labels.filter(label => !has(b, label))
  const columns = b.labels.filter(label => !has(a, label))
  const sizesOf = ({ x, labels: own }: Labelled, labels: readonly string[]): number[] =>
    labels.map(label => x.shape[own.indexOf(label)])
  const moved = (from: Labelled, order: readonly string[]): Tensor =>
    from.x.permute(order.map(label => from.labels.indexOf(label)))
  const [batchSizes, rowSizes, columnSizes] = [sizesOf(a, batch), sizesOf(a, rows), sizesOf(b, columns)]
  const labels = [...batch, ...rows, ...columns]
  if (inner.length > 0 && isFloat(a.x.dtype) && isFloat(b.x.dtype)) {
    const [m, k, n] = [rowSizes, sizesOf(a, inner), columnSizes].map(sizes => sizes.reduce((p, q) => p * q, 1))
    const matrices = moved(a, [...batch, ...rows, ...inner]).reshape([...batchSizes, m, k])
    const others = moved(b, [...batch, ...inner, ...columns]).reshape([...batchSizes, k, n])
    return { x: matmul(matrices, others).reshape([...batchSizes, ...rowSizes, ...columnSizes]), labels }
  }
  const ones = (list: readonly string[]): number[] => list.map(() => 1)
  const innerSizes = sizesOf(a, inner)
  const factor = moved(a, [...batch, ...rows, ...inner]).reshape([
    ...batchSizes,
    ...rowSizes,
    ...ones(columns),
    ...innerSizes,
  ])
  const other = moved(b, [...batch, ...columns, ...inner]).reshape([
    ...batchSizes,
    ...ones(rows),
    ...columnSizes,
    ...innerSizes,
  ])
  return summed({ x: factor.mul(other), labels: [...labels, ...inner] }, kept)
}
