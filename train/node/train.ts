// `tilegrad/train` under Node.
import '../../engine/node/index.ts'

export * from '../index.ts'
