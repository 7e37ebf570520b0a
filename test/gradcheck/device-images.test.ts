// Nets 2 and 3 of convolutions and pooling.
import { imageCases } from './cases/images.ts'
import { describeOnDevice } from './device.ts'

describeOnDevice(imageCases, /^conv/)
