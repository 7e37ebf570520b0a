// Reverse mode, graph to graph: walk back from the loss, ask each op's rule for its inputs' gradients, add where paths
// meet. Gradients are tensors like any other, so they can be differentiated again.
import { UserError } from './errors.ts'
import { type Node, type Value, specOf } from './graph.ts'
import { ones, zeros } from './ops/source.ts'
import { recomputed } from './recompute.ts'
import { sameShape, showSpec } from './shape.ts'
import { Tensor } from './tensor.ts'

const isFloat = (value: Value): boolean => specOf(value).dtype === 'f32' || specOf(value).dtype === 'f16'

/** Nodes that `root` depends on and that depend on one of `wrt`, each after all of its users. */
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
    const on = wrt.has(top.node) || top.node.inputs.some(value => depends.get(value.node) && isFloat(value))
    depends.set(top.node, on)
    if (on) order.push(top.node)
  }
  return order.reverse()
}

/**
 * Gradients of `loss` (one element, unless `upstream` of its shape is given) with respect to each of `wrt`, in their
 * shapes; zeros where the loss does not depend on one. `recompute` names boundaries of the forward pass, in order: what
 * lies between two of them is made again for the backward pass instead of kept, which takes time and saves memory. Throws
 * a UserError where an op on the way has no gradient.
 */
export function grad(loss: Tensor, wrt: readonly Tensor[], upstream?: Tensor, recompute: readonly Tensor[] = []): Tensor[] {
  if (!upstream && loss.size !== 1) throw new UserError(`grad: the loss has one element, not ${showSpec(loss)}: sum it, or give its upstream gradient`)
  if (upstream && !sameShape(upstream.shape, loss.shape)) {
    throw new UserError(`grad: upstream ${showSpec(upstream)} is not of the loss's shape ${showSpec(loss)}`)
  }
  const alien = wrt.find(t => !isFloat(t.value))
  if (alien) throw new UserError(`grad: ${showSpec(alien)} holds integers, which have no gradient`)
  const nodes = pathNodes(loss.value.node, new Set(wrt.map(t => t.value.node)))
  const onPath = new Set(nodes)
  const again = recomputed(recompute)
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
    const needs = node.inputs.map(value => onPath.has(value.node) && isFloat(value))
    if (!needs.includes(true)) continue
    const { op } = node
    if (!op.gradient) {
      if (op.noGradient) throw new UserError(`grad: no gradient through ${op.name}: ${op.noGradient}`)
      continue
    }
    const inputs = node.inputs.map(value => new Tensor(again(value)))
    const outputs = node.outputs.map((_, index) => new Tensor(again({ node, index })))
    const found = op.gradient({ inputs, outputs, attributes: node.attributes, upstream: outputs.map((_, i) => arrived[i]), needs })
    found.forEach((gradient, i) => {
      if (!gradient || !needs[i]) return
      if (!sameShape(gradient.shape, inputs[i].shape)) {
        throw new Error(`${op.name}: its rule gave input ${i}, ${showSpec(inputs[i])}, a gradient of ${showSpec(gradient)}`)
      }
      accumulate(node.inputs[i], gradient)
    })
  }
  return wrt.map(t => gradients.get(t.value.node)?.[t.value.index] ?? zeros(t.shape, t.dtype))
}
