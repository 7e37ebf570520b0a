// Nets 2 and 3 of the cases in cases/shapes.ts.
import { shapeCases } from './cases/shapes.ts'
import { describeOnDevice } from './device.ts'

describeOnDevice(shapeCases)
