// Nets 2 and 3 of the ops that work row by row: softmax, layer norm, cross entropy, gather; and of AdamW.
import { rowCases } from './cases/kernels.ts'
import { describeOnDevice } from './device.ts'

describeOnDevice(rowCases, /^(?!matmul|attention|conv)/)
