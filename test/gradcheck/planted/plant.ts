// How a mistake is planted, for tests of the tests: an op's rule, view or float64 value is exchanged for a wrong one,
// or the WGSL of a kernel is rewritten on its way to the compiler. Nothing in the engine knows of it.
import {
  type ElementwiseOp,
  type GradientContext,
  type KernelOp,
  type Reference,
  type Op,
  type OpAttributes,
  type OpName,
  type ViewOp,
  findOp,
} from '../../../engine/graph.ts'
import type { Device } from '../../../engine/runtime/device.ts'
import { sumTo } from '../../../engine/ops/reduce.ts'
import type { Tensor } from '../../../engine/tensor.ts'
import { exchange } from '../exchange.ts'

export interface Plant {
  /** The mistake. */
  readonly name: string
  /** Where it is made: `rule of mul`, `kernel of softmax`, `view of slice`, `float64 of gelu`. */
  readonly where: string
  /** The case whose draws run into it. */
  readonly of: string
  /** Why it can't show on such an adapter; undefined where it can. */
  readonly hidden?: (device: Device) => string | undefined
  /** Makes the mistake from here on, until the function that it gives is called. `made` hears of each time. */
  readonly make: (device: Device, made: () => void) => () => void
  /** Of a mistake made in shaders: how it rewrites them. */
  readonly rewrite?: Rewrite
}

type Change = readonly [find: RegExp, put: string]

export interface Rewrite {
  /** In whose text: the shaders that this finds something in. */
  readonly shaders: RegExp
  readonly changes: readonly Change[]
}

type Gradients = readonly (Tensor | undefined)[]

/** A gradient rule that makes something else of what the right one gives. */
export function wrongRule<N extends OpName>(
  op: N,
  mistake: string,
  wrong: (right: Gradients, context: GradientContext<OpAttributes[N]>) => (Tensor | undefined)[],
  of: string = op,
): Plant {
  return {
    name: mistake,
    where: `rule of ${op}`,
    of,
    make: (_device, made) => {
      const found: Op = findOp(op)
      const right = found.gradient
      if (!right) throw new Error(`${op} has no gradient rule`)
      return exchange(found, {
        gradient: context => {
          made()
          return wrong(right.call(found, context), context as GradientContext<OpAttributes[N]>)
        },
      })
    },
  }
}

/** Exchanges members of an op of one kind. */
function wrongMember<K extends Op['kind']>(
  kind: K,
  op: string,
  mistake: string,
  what: string,
  of: string,
  wrong: (right: Extract<Op, { kind: K }>, made: () => void) => Partial<Op>,
): Plant {
  return {
    name: mistake,
    where: `${what} of ${op}`,
    of,
    make: (_device, made) => {
      const found = findOp(op)
      if (found.kind !== kind) throw new Error(`${op} is of kind ${found.kind}, not ${kind}`)
      const right = { ...found } as Extract<Op, { kind: K }>
      return exchange<Op>(found, wrong(right, made))
    },
  }
}

/** Strides that do not show what they should. */
export function wrongView(
  op: string,
  mistake: string,
  wrong: (right: ReturnType<ViewOp['view']>, from: Parameters<ViewOp['view']>[0]) => ReturnType<ViewOp['view']>,
): Plant {
  return wrongMember('view', op, mistake, 'view', op, (right, made) => ({
    view: (from, attributes, output) => {
      made()
      return wrong(right.view(from, attributes, output), from)
    },
  }))
}

/** An oracle that is wrong itself. */
export function wrongScalar(op: string, mistake: string, wrong: ElementwiseOp['scalar'], of = op): Plant {
  return wrongMember('elementwise', op, mistake, 'float64', of, (_right, made) => ({
    scalar: (args, attributes, index, inputs) => {
      made()
      return wrong(args, attributes, index, inputs)
    },
  }))
}

/** Other members of an elementwise op. */
export function wrongElement(
  op: string,
  mistake: string,
  wrong: (right: ElementwiseOp) => Partial<ElementwiseOp>,
  of = op,
): Plant {
  return wrongMember('elementwise', op, mistake, 'kernel', of, (right, made) => {
    made()
    return wrong(right)
  })
}

/** A float64 reference of a kernel that is wrong itself. */
export function wrongReference(op: string, mistake: string, wrong: Reference, of = op): Plant {
  return wrongMember('kernel', op, mistake, 'float64', of, (_right, made) => ({
    reference: (inputs, specs, attributes) => {
      made()
      return wrong(inputs, specs, attributes)
    },
  }))
}

/** Other members of an op with kernels. */
export function wrongKernelOp(op: string, mistake: string, wrong: (right: KernelOp) => Partial<KernelOp>): Plant {
  return wrongMember('kernel', op, mistake, 'kernel', op, (right, made) => {
    made()
    return wrong(right)
  })
}

export interface Kernel {
  /** The case. */
  readonly of: string
  /** In whose text: the shaders that this finds something in. */
  readonly shaders: RegExp
  readonly hidden?: Plant['hidden']
}

/** Rewrites shaders on their way to the compiler. The text must really change, or the mistake was not made. */
export function wrongKernel(
  what: string,
  mistake: string,
  { of, shaders, hidden }: Kernel,
  ...changes: readonly Change[]
): Plant {
  return {
    name: mistake,
    where: `kernel of ${what}`,
    of,
    hidden,
    rewrite: { shaders, changes },
    make: ({ pipelines }, made) => {
      const right = pipelines.get
      return exchange(pipelines, {
        get: launch => {
          const { wgsl } = launch
          const text = shaders.test(wgsl) ? changes.reduce((now, [find, put]) => now.replace(find, put), wgsl) : wgsl
          if (text !== wgsl) made()
          return right.call(pipelines, { ...launch, wgsl: text })
        },
      })
    },
  }
}

/** Puts a kernel that does nothing in the place of each, until the function that this gives is called. */
export function withoutKernels({ pipelines }: Device): () => void {
  const right = pipelines.get
  return exchange(pipelines, {
    get: launch => {
      // Pipelines are kept by their text, and each list of bindings has its own.
      const bindings = launch.slots.map((_, k) => (launch.writes.includes(k) ? 'written' : 'read')).join()
      return right.call(pipelines, {
        ...launch,
        wgsl: `// nothing: ${bindings}\n@compute @workgroup_size(1)\nfn main() {}\n`,
      })
    },
  })
}

/** A gradient in the shape and dtype of its input, broadcasting undone. */
export function as(input: Tensor, gradient: Tensor): Tensor {
  return sumTo(gradient, input.shape).cast(input.dtype)
}

/** The part of a broadcast gradient that belongs to the first of the repetitions. */
export function firstOf(gradient: Tensor, input: Tensor): Tensor {
  const lead = gradient.rank - input.rank
  const end = gradient.shape.map((n, i) => (i < lead || (input.shape[i - lead] === 1 && n !== 1) ? 1 : n))
  return gradient
    .slice(
      end.map(() => 0),
      end,
    )
    .reshape(input.shape)
    .cast(input.dtype)
}

/** The upstream gradient of an op's first output. */
export function upstreamOf({ upstream: [dy] }: Pick<GradientContext, 'upstream'>): Tensor {
  if (!dy) throw new Error('nothing arrives at the first output')
  return dy
}

/** The patterns of a rewrite that change none of the texts: they no longer fit the kernels. */
export function stalePatterns({ shaders, changes }: Rewrite, texts: readonly string[]): string[] {
  let unused = changes
  let found = false
  for (const text of texts) {
    if (unused.length === 0) break
    if (!shaders.test(text)) continue
    found = true
    unused = unused.filter(([find, put]) => text.replace(find, put) === text)
  }
  return found ? unused.map(([find]) => String(find)) : [String(shaders)]
}
