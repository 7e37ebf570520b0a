// `tilegrad/models`: BERT and DistilBERT with their configs, weights, tokenizers, LoRA and PEFT's format; and classifying
// texts with them. `tilegrad/nn` has what they are built of.
export { BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification } from './bert.ts'
export { TextClassifier, type ClassifierOptions } from './classifier.ts'
export { parseConfig, publishedConfig, toHubConfig, type ModelConfig } from './config.ts'
export {
  DistilBertForMaskedLM,
  DistilBertForSequenceClassification,
  DistilBertForTokenClassification,
} from './distilbert.ts'
export { createMaskedModel, createModel, createTokenModel } from './families.ts'
export {
  baseTensors,
  loadWeights,
  matchWeights,
  mergedTensors,
  modelTensors,
  originOf,
  type LoadReport,
  type Origin,
  type PartOfFile,
  type WeightMatch,
} from './loading.ts'
export { adapted, attachLora, loraParameters, mergeLora, parseTargets, setTuning, unmergeLora } from './lora.ts'
export type { LoraOptions, Target, Tuning } from './lora.ts'
export { MaskedModel } from './masked.ts'
export { Classifier, Model, SequenceClassifier, TARGET_WORDS, TokenClassifier, type TargetWord } from './model.ts'
export { adapterConfig, adapterTensors, loadAdapter, parseAdapterConfig, type AdapterConfig } from './peft.ts'
export type { Calibration, LabelledWord, Prediction, Problem, TextInput } from './prediction.ts'
export {
  bytesSource,
  openTensors,
  serialize,
  serializeInPieces,
  type ByteSource,
  type LazyTensor,
  type TensorEntry,
  type TensorFile,
  type TensorToWrite,
} from './safetensors.ts'
export { countParameters, summaryRows, summaryText, type ParameterCounts, type SummaryRow } from './summary.ts'
export {
  tokenizerFromJson,
  tokenizerFromVocabulary,
  type EncodeOptions,
  type EncodePairOptions,
  type Encoding,
  type Tokenizer,
  type VocabularyOptions,
} from './tokenizer.ts'
export { encodeText, type EncodableText, type EncodedText, type LengthOptions } from './windows.ts'

// Also part of `tilegrad/nn`.
export { classDivergence, cosineDistance, labelDivergence, outputDistance } from './distillation.ts'
export { initialise } from './initialise.ts'
export { IGNORED, classificationLoss, meanOf, multiLabelLoss, regressionLoss, type RowLosses } from './losses.ts'
export { Parameter, forwardContext, type ForwardContext } from './nn.ts'
