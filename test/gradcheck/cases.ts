// A property test for every op: which nets apply to it, and what its random checks are made of.
import { elementwiseCases } from './cases/elementwise.ts'
import { imageCases } from './cases/images.ts'
import { attentionCases, matmulCases, rowCases } from './cases/kernels.ts'
import { shapeCases } from './cases/shapes.ts'
import type { OpCase } from './draw.ts'

export const cases: readonly OpCase[] = [
  ...elementwiseCases,
  ...shapeCases,
  ...matmulCases,
  ...attentionCases,
  ...rowCases,
  ...imageCases,
]
