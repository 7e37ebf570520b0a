// `tilegrad/models` under Node.
import '../../engine/node/index.ts'

export * from '../index.ts'
