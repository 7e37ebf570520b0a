// Reverse mode, graph to graph: walks back from the loss, applies each op's rule to get its inputs' gradients, and adds
// them where paths meet. Gradients are tensors like any other and can be differentiated again.
import { isFloat } from '../shaders/kernel.ts'
import { UserError } from './errors.ts'
import { type Node, type Value, specOf } from './graph.ts'
import { ones, zeros } from './ops/source.ts'
import { recomputed } from './recompute.ts'
import { sameShape, showSpec } from './shape.ts'
import { Tensor, needTensorList, needTensors } from './tensor.ts'

const isReal = (value: Value): boolean => isFloat(specOf(value).dtype)

/** Nodes that `root` depends on and that depend on one of `wrt`, users first. */
function pathNodes(root: Node, wrt: ReadonlySet<Node>): Node[] {
  const depends = new Map<Node, boolean>()
  const order: Node[] = []
  const stack: { node: Node; next: number }[] = [{ node: root, next: 0 }]
  while (stack.length > 0) {
    const top = stack[stack.length - 1]
    const input = top.node.inputs[top.next++]
    if (input) {
      if (!depends.has(input.node)) {
        depends.set(input.node, false)
        stack.push({ node: input.node, next: 0 })
      }
      continue
    }
    stack.pop()
    const on = wrt.has(top.node) || top.node.inputs.some(value => depends.get(value.node) && isReal(value))
    depends.set(top.node, on)
    if (on) order.push(top.node)
  }
  return order.reverse()
}

/** A tensor for each of `W`, whose number the compiler may know. */
type GradientsOf<W extends readonly Tensor[]> = { -readonly [K in keyof W]: Tensor }

/**
 * Gradients of `loss` with respect to each of `wrt`, in their shapes and dtypes; zeros if the loss does not depend on
 * one. The loss has one element, unless its `upstream` gradient, of the same shape, is given. `recompute` lists
 * boundaries of the forward pass, in order: values between two of them are recomputed for the backward pass instead of
 * kept, which saves memory and takes time (Chen et al. 2016). Throws a UserError if an op on the path has no gradient,
 * and on integers.
 */
export function grad<const W extends readonly Tensor[]>(
  loss: Tensor,
  wrt: W,
  upstream?: Tensor,
  recompute?: readonly Tensor[],
): GradientsOf<W>
export function grad(
  loss: Tensor,
  wrt: readonly Tensor[],
  upstream?: Tensor,
  recompute: readonly Tensor[] = [],
): Tensor[] {
  needTensors('grad', { loss })
  needTensorList('grad', wrt)
  const expected = 'one element was expected: sum it, or pass its upstream gradient'
  if (!upstream && loss.size !== 1) throw new UserError(`grad: the loss is ${showSpec(loss)}, but ${expected}`)
  if (upstream && !sameShape(upstream.shape, loss.shape)) {
    throw new UserError(`grad: upstream is ${showSpec(upstream)}, but the loss is ${showSpec(loss)}`)
  }
  const integers = wrt.find(t => !isFloat(t.dtype))
  if (integers) throw new UserError(`grad: ${showSpec(integers)} has no gradient: it holds integers`)
  const nodes = pathNodes(loss.value.node, new Set(wrt.map(t => t.value.node)))
  const onPath = new Set(nodes)
  const recomputedOf = recomputed(recompute)
  const gradients = new Map<Node, (Tensor | undefined)[]>()
  const accumulate = ({ node, index }: Value, gradient: Tensor): void => {
    const slots = gradients.get(node) ?? []
    const sofar = slots[index]
    slots[index] = sofar ? sofar.add(gradient) : gradient
    gradients.set(node, slots)
  }
  accumulate(loss.value, upstream ?? ones(loss.shape, loss.dtype))
  for (const node of nodes) {
    const arrived = gradients.get(node)
    if (!arrived || node.inputs.length === 0) continue
    const needs = node.inputs.map(value => onPath.has(value.node) && isReal(value))
    if (!needs.includes(true)) continue
    const { op } = node
    if (!op.gradient) {
      if (op.noGradient) throw new UserError(`grad: no gradient through ${op.name}: ${op.noGradient}`)
      continue
    }
    const inputs = node.inputs.map(value => new Tensor(recomputedOf(value)))
    const outputs = node.outputs.map((_, index) => new Tensor(recomputedOf({ node, index })))
    const { attributes } = node
    const found = op.gradient({ inputs, outputs, attributes, upstream: outputs.map((_, i) => arrived[i]), needs })
    found.forEach((gradient, i) => {
      if (!gradient || !needs[i]) return
      if (!sameShape(gradient.shape, inputs[i].shape)) {
        const shown = `${showSpec(gradient)} for input ${i}, which is ${showSpec(inputs[i])}`
        throw new Error(`${op.name}: its gradient rule returned ${shown}`)
      }
      accumulate(node.inputs[i], gradient)
    })
  }
  return wrt.map(t => gradients.get(t.value.node)?.[t.value.index] ?? zeros(t.shape, t.dtype))
}
