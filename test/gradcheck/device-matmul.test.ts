// Nets 2 and 3 of matmul, alone and with LoRA.
import { matmulCases } from './cases/kernels.ts'
import { describeOnDevice } from './device.ts'

describeOnDevice(matmulCases, /^matmul/)
