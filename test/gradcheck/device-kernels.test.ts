// Nets 2 and 3 of the cases in cases/kernels.ts.
import { kernelCases } from './cases/kernels.ts'
import { describeOnDevice } from './device.ts'

describeOnDevice(kernelCases)
