// What models are built of: parameters, the modules that own them, and layers.
export { Parameter, type Initial, type ParameterOptions, type Role } from './nn/parameter.ts'
export { Module } from './nn/module.ts'
export { type ForwardContext, currentContext, forwardContext, inContext } from './nn/context.ts'
export { Dropout } from './nn/dropout.ts'
export { Linear, LoraAdapter, type LinearOptions, type LoraShape, loraScale, ownParameters } from './nn/linear.ts'
export {
  Conv1d,
  Conv2d,
  ConvTranspose1d,
  ConvTranspose2d,
  type ConvLayerOptions,
  type ConvTransposeLayerOptions,
} from './nn/conv.ts'
export { Embedding, type EmbeddingOptions } from './nn/embedding.ts'
export {
  BatchNorm,
  GroupNorm,
  LayerNorm,
  RMSNorm,
  type BatchNormOptions,
  type NormOptions,
  type RMSNormOptions,
} from './nn/norms.ts'
export {
  KeyValueCache,
  MultiHeadAttention,
  type AttendOptions,
  type MultiHeadAttentionOptions,
} from './nn/attention.ts'
export { Sequential, type Layer } from './nn/sequential.ts'
