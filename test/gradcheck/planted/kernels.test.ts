// Wrong kernels, views and oracles, one at a time: the property tests find each.
import { describePlanted } from './describe.ts'
import { wrongKernels } from './kernels.ts'

describePlanted(wrongKernels)
