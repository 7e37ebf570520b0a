// Nets 2 and 3 of the cases in cases/elementwise.ts.
import { elementwiseCases } from './cases/elementwise.ts'
import { describeOnDevice } from './device.ts'

describeOnDevice(elementwiseCases)
