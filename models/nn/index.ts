// `tilegrad/nn`: what models are built of.
export {
  Dropout,
  Embedding,
  LayerNorm,
  Linear,
  LoraAdapter,
  Module,
  Parameter,
  currentContext,
  forwardContext,
  inContext,
  loraScale,
  type EmbeddingOptions,
  type ForwardContext,
  type Initial,
  type LinearOptions,
  type LoraShape,
  type NormOptions,
  type ParameterOptions,
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
