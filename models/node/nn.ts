// `tilegrad/nn` under Node.
import '../../engine/node/index.ts'

export * from '../nn/index.ts'
