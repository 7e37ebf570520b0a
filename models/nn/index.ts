// `tilegrad/nn`: what models are built of.
export {
  Dropout,
  Embedding,
  LayerNorm,
  Linear,
  LoraAdapter,
  Module,
  Parameter,
  forwardContext,
  loraScale,
  type ForwardContext,
  type Initial,
  type LoraShape,
  type Role,
} from '../nn.ts'
export { initialise } from '../initialise.ts'
export {
  IGNORED,
  classificationLoss,
  meanOf,
  multiLabelLoss,
  regressionLoss,
  type BinaryOptions,
  type CrossEntropyOptions,
  type RowLosses,
} from '../losses.ts'
export { classDivergence, cosineDistance, labelDivergence, outputDistance } from '../distillation.ts'
