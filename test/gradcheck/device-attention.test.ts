// Nets 2 and 3 of attention.
import { attentionCases } from './cases/kernels.ts'
import { describeOnDevice } from './device.ts'

describeOnDevice(attentionCases, /^attention/)
