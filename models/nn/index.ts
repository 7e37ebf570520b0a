// `tilegrad/nn`: what models are built of.
export {
  BatchNorm,
  Dropout,
  Embedding,
  GroupNorm,
  LayerNorm,
  Linear,
  LoraAdapter,
  Module,
  Parameter,
  RMSNorm,
  Sequential,
  currentContext,
  forwardContext,
  inContext,
  loraScale,
  type BatchNormOptions,
  type EmbeddingOptions,
  type ForwardContext,
  type Initial,
  type Layer,
  type LinearOptions,
  type LoraShape,
  type NormOptions,
  type ParameterOptions,
  type RMSNormOptions,
  type Role,
} from '../nn.ts'
export { load, save, type LoadOptions, type LoadedNames } from './saved.ts'
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
