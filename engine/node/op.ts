// `tilegrad/op` under Node.
import './index.ts'

export * from '../op.ts'
