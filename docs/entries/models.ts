/**
 * BERT and DistilBERT, LoRA, tokenizers, safetensors, PEFT's format, and `TextClassifier`.
 *
 * @module tilegrad/models
 */
export * from '../../models/index.ts'
